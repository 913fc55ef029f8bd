"""The SEG of an MR series before the tools of others: every frame lies where its slice lies."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from models.values.findings import BundleIdentity
from models.volume.findings import VolumeFindings
from tests.support.peers.readers import program, run
from tests.support.results.mr_requests import CASES, IDENTITY, LABEL, SHAPE, request_of
from workers.results.builders.volume_segmentation import VolumeNotReferable, VolumeRequest
from workers.results.encode import encode_volume


def positions(ds: Dataset) -> list[NDArray[np.float64]]:
    """Return the position of each frame."""
    frames = ds.PerFrameFunctionalGroupsSequence
    return [np.array([float(v) for v in f.PlanePositionSequence[0].ImagePositionPatient]) for f in frames]


@pytest.mark.parametrize("values", CASES.values(), ids=CASES)
def test_every_frame_lies_on_its_slice(tmp_path: Path, values: dict[str, Any]) -> None:
    request, _, planted = request_of(tmp_path, **values)
    content = encode_volume(request).content
    ds = dcmread(BytesIO(content))
    sources = {str(s.SOPInstanceUID): s for s in (dcmread(p) for p in tmp_path.glob("mr-*.dcm"))}
    filled = int(planted.any(axis=(1, 2)).sum())
    assert int(ds.NumberOfFrames) == filled
    assert len(ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == SHAPE[0]
    orientation = ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    seen = set()
    for frame, position, pixels in zip(
        ds.PerFrameFunctionalGroupsSequence, positions(ds), ds.pixel_array.astype(bool), strict=True
    ):
        (named,) = frame.DerivationImageSequence[0].SourceImageSequence
        source = sources[str(named.ReferencedSOPInstanceUID)]
        np.testing.assert_allclose(position, [float(v) for v in source.ImagePositionPatient], atol=1e-6)
        np.testing.assert_allclose([float(v) for v in orientation], [float(v) for v in source.ImageOrientationPatient])
        np.testing.assert_array_equal(pixels, source.pixel_array > 500)
        seen.add(str(named.ReferencedSOPInstanceUID))
    assert len(seen) == filled


@pytest.mark.parametrize("values", CASES.values(), ids=CASES)
def test_dciodvfy_finds_no_error(tmp_path: Path, values: dict[str, Any]) -> None:
    dciodvfy = program("dciodvfy")
    request, _, _ = request_of(tmp_path, **values)
    path = tmp_path / "seg.dcm"
    path.write_bytes(encode_volume(request).content)
    said = run(dciodvfy, "-new", path).stderr.splitlines()
    assert "Segmentation" in {line.strip() for line in said}, said
    assert [line for line in said if line.startswith("Error")] == []


@pytest.mark.parametrize("values", CASES.values(), ids=CASES)
def test_highdicom_reads_the_volume_back(tmp_path: Path, values: dict[str, Any]) -> None:
    request, series, planted = request_of(tmp_path, **values)
    seg = highdicom.seg.segread(BytesIO(encode_volume(request).content))
    pixels = seg.get_pixels_by_source_instance([one.sop_instance_uid for one in series.slices], segment_numbers=[1])
    np.testing.assert_array_equal(pixels[..., 0] > 0, request.findings.mask)
    volume = seg.get_volume(segment_numbers=[1])
    where = np.argwhere(np.asarray(volume.array)[..., 0] > 0)
    found = np.mean([volume.affine @ [*voxel, 1] for voxel in where], axis=0)[:3]
    expected = np.mean([series.place_mm(voxel) for voxel in np.argwhere(request.findings.mask)], axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert len(where) == int(planted.sum())


@pytest.mark.parametrize("values", CASES.values(), ids=CASES)
def test_dcmqi_places_the_mask_where_it_lies(tmp_path: Path, values: dict[str, Any]) -> None:
    convert = program("segimage2itkimage")
    request, series, _ = request_of(tmp_path, **values)
    path, out = tmp_path / "seg.dcm", tmp_path / "out"
    path.write_bytes(encode_volume(request).content)
    out.mkdir()
    said = run(convert, "-t", "nrrd", "--inputDICOM", path, "--outputDirectory", out, "-p", "s")
    (file,) = out.glob("*.nrrd")
    assert said.returncode == 0, said.stderr
    meta = json.loads(next(out.glob("*.json")).read_text())
    assert meta["segmentAttributes"][0][0]["SegmentedPropertyTypeCodeSequence"]["CodeValue"] == "82471001"
    pixels, directions, origin = _nrrd(file)
    where = np.argwhere(pixels > 0)
    found = origin + where.mean(axis=0) @ directions
    expected = np.mean([series.place_mm(voxel) for voxel in np.argwhere(request.findings.mask)], axis=0)
    assert len(where) == int(request.findings.mask.sum())
    np.testing.assert_allclose(found, expected, atol=1e-3)


def _nrrd(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
    """Read a NRRD in (x, y, z): array, space directions by axis, origin; in LPS."""
    import gzip

    header, content = path.read_bytes().split(b"\n\n", 1)
    fields = dict(line.split(": ", 1) for line in header.decode().splitlines() if ": " in line)
    assert fields["space"] == "left-posterior-superior"
    raw = gzip.decompress(content) if fields["encoding"].startswith("gz") else content
    sizes = [int(n) for n in fields["sizes"].split()]
    kind = {"unsigned char": "<u1", "uint8": "<u1", "short": "<i2", "unsigned short": "<u2"}[fields["type"]]
    array = np.frombuffer(raw, kind).reshape(sizes[::-1]).transpose()
    vectors = [[float(v) for v in part.strip("()").split(",")] for part in fields["space directions"].split()]
    return array, np.array(vectors), np.array([float(v) for v in fields["space origin"].strip("()").split(",")])


def test_the_same_request_gives_the_same_bytes_and_another_bundle_another_uid(tmp_path: Path) -> None:
    request, _, _ = request_of(tmp_path)
    first, second = encode_volume(request), encode_volume(request)
    assert first.content == second.content
    other = BundleIdentity(IDENTITY.name, "1.0.1", "ef" * 32)
    changed = VolumeFindings(request.findings.mask, 1.0, other, LABEL, ())
    moved = encode_volume(
        VolumeRequest(request.sources, changed, 2.5, request.configuration_digest, request.created_at)
    )
    assert moved.sop_instance_uid != first.sop_instance_uid
    assert moved.series_instance_uid == first.series_instance_uid


def test_slices_without_a_frame_of_reference_are_refused(tmp_path: Path) -> None:
    request, _, _ = request_of(tmp_path, FrameOfReferenceUID=None)
    with pytest.raises(VolumeNotReferable, match="FrameOfReferenceUID"):
        encode_volume(request)


def test_an_empty_mask_is_refused(tmp_path: Path) -> None:
    request, series, _ = request_of(tmp_path)
    empty = VolumeFindings(np.zeros(series.pixels.shape, np.bool_), 0.0, IDENTITY, LABEL, ())
    with pytest.raises(ValueError, match="empty"):
        encode_volume(VolumeRequest(request.sources, empty, 2.5, request.configuration_digest, request.created_at))
