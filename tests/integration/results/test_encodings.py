"""Segmentations in every type and transfer syntax that a profile may ask for, read by others, pixel by pixel."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.pixels import get_decoder
from pydicom.uid import UID

from models.values import codes
from node.delivery.profiles import BUILT_IN, OHIF, STRICT, Profile
from node.dicom.kinds import ResultKind
from node.dicom.uids import DEFLATED_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN, JPEG_2000_LOSSLESS, RLE_LOSSLESS
from tests.support.data import sources
from tests.support.peers.processes import require
from tests.support.results import result_requests as made
from tests.support.results.encoded import apart, one_image, read, segs
from tests.support.results.interoperability import record
from workers.results.encode import encode
from workers.results.readback import findings_of_segs

DEFLATED = Profile(name="deflated", compression="deflated")
LABELMAP_PLAIN = Profile(name="plain-labelmap", segmentation="LABELMAP")
LABELMAP_J2K = Profile(name="labelmap-j2k", segmentation="LABELMAP", compression="jpeg-2000")
ENCODINGS = {
    "explicit": (STRICT, "BINARY", EXPLICIT_LITTLE_ENDIAN),
    "deflated": (DEFLATED, "BINARY", DEFLATED_LITTLE_ENDIAN),
    "jpeg-2000": (BUILT_IN["compressed"], "BINARY", JPEG_2000_LOSSLESS),
    "labelmap": (LABELMAP_PLAIN, "LABELMAP", EXPLICIT_LITTLE_ENDIAN),
    "labelmap-rle": (BUILT_IN["labelmap"], "LABELMAP", RLE_LOSSLESS),
    "labelmap-jpeg-2000": (LABELMAP_J2K, "LABELMAP", JPEG_2000_LOSSLESS),
}
SIZES = [(96, 80), (97, 83), (61, 128)]


@pytest.mark.interoperability
@pytest.mark.parametrize(("rows", "columns"), SIZES)
@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_masks_come_back_exactly_in_every_encoding(
    tmp_path: Path, encoding: tuple[Profile, str, str], rows: int, columns: int
) -> None:
    profile, kind, syntax = encoding
    request = apart(one_image(tmp_path, rows=rows, columns=columns))
    (seg,) = segs(encode(request, profile=profile))
    path = tmp_path / "seg.dcm"
    path.write_bytes(seg.content)
    ds = dcmread(path)
    assert (ds.SegmentationType, ds.file_meta.TransferSyntaxUID) == (kind, syntax)
    assert ds.SOPClassUID == profile.sop_class(ResultKind.SEG).sop_class_uid == seg.sop_class_uid
    found = findings_of_segs([path]).segments
    assert [s.label for s in found] == ["Right lung", "Left lung", "Heart"]
    for ours, theirs in zip(request.images[0].segments, found, strict=True):
        np.testing.assert_array_equal(ours.mask, theirs.mask)
    record(source=f"DX {rows}×{columns}", object=f"SEG {kind}", profile=profile.name, reader="highdicom segread")


@pytest.mark.parametrize(("rows", "columns"), SIZES)
@pytest.mark.parametrize("plugin", ["gdcm", "pylibjpeg"])
def test_another_decoder_finds_the_same_pixels_in_jpeg_2000(
    tmp_path: Path, plugin: str, rows: int, columns: int
) -> None:
    request = one_image(tmp_path, rows=rows, columns=columns)
    (seg,) = segs(encode(request, profile=BUILT_IN["compressed"]))
    frames, _ = get_decoder(UID(JPEG_2000_LOSSLESS)).as_array(read(seg), decoding_plugin=plugin)
    np.testing.assert_array_equal(frames > 0, np.stack([s.mask for s in request.images[0].segments]))


@pytest.mark.interoperability
@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_dcmtk_reads_every_encoding(tmp_path: Path, encoding: tuple[Profile, str, str]) -> None:
    dcmdump = require("dcmdump")
    profile, kind, _ = encoding
    for number, result in enumerate(encode(apart(one_image(tmp_path)), profile=profile)):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(result.content)
        done = subprocess.run([dcmdump, str(path)], capture_output=True, text=True, errors="replace", check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert result.kind is not ResultKind.SEG or f"CS [{kind}" in done.stdout
    record(source="DX 96×80", object=f"SEG {kind}", profile=profile.name, reader="DCMTK dcmdump")


@pytest.mark.parametrize("encoding", [ENCODINGS["deflated"], ENCODINGS["jpeg-2000"]], ids=["deflated", "jpeg-2000"])
def test_dciodvfy_finds_no_error_in_a_compressed_segmentation(
    tmp_path: Path, encoding: tuple[Profile, str, str]
) -> None:
    dciodvfy = require("dciodvfy")
    for number, result in enumerate(encode(one_image(tmp_path), profile=encoding[0])):
        path, explicit = tmp_path / f"{number}.dcm", tmp_path / f"{number}-explicit.dcm"
        path.write_bytes(result.content)
        if encoding[2] == DEFLATED_LITTLE_ENDIAN:
            # dciodvfy 2022 inflates nothing: it checks what DCMTK inflates.
            subprocess.run([require("dcmconv"), "+te", str(path), str(explicit)], check=True)
            path = explicit
        said = subprocess.run(
            [dciodvfy, "-new", str(path)], capture_output=True, text=True, errors="replace", check=False
        ).stderr.splitlines()
        assert {"Segmentation", "Comprehensive3DSR"} & {line.strip() for line in said}
        assert [line for line in said if line.startswith("Error")] == []


def test_segments_that_overlap_are_label_maps_of_their_own_and_stay_whole(tmp_path: Path) -> None:
    request = one_image(tmp_path)
    first, second, third = request.images[0].segments
    wide = replace(second, mask=first.mask | second.mask)
    request = replace(request, images=(replace(request.images[0], segments=(first, wide, third)),))
    results = segs(encode(request, profile=BUILT_IN["labelmap"]))
    assert len({result.series_instance_uid for result in results}) == len(results) == 2
    paths = [tmp_path / f"{number}.dcm" for number in range(2)]
    for path, result in zip(paths, results, strict=True):
        path.write_bytes(result.content)
        assert read(result).SegmentationType == "LABELMAP"
    found = {segment.label: segment.mask for segment in findings_of_segs(paths).segments}
    assert list(found) == ["Right lung", "Heart", "Left lung"]
    for name, segment in (("Right lung", first), ("Left lung", wide), ("Heart", third)):
        np.testing.assert_array_equal(found[name], segment.mask)


def test_each_bundle_has_a_segmentation_and_a_series_of_its_own(tmp_path: Path) -> None:
    image = made.with_pneumothorax(made.image(sources.uid()), codes.LEFT)
    request = made.diseases((sources.source(tmp_path),), image)
    results = segs(encode(request, profile=OHIF))
    assert len({result.series_instance_uid for result in results}) == len(results) == 2
    descriptions = [str(read(result).SeriesDescription) for result in results]
    assert [text.split(":")[0] for text in descriptions] == ["AI lungs-heart", "AI pneumothorax-segmen"]


def test_a_compressed_segmentation_is_much_smaller(tmp_path: Path) -> None:
    request = one_image(tmp_path, rows=1000, columns=800)
    (plain,), (small,) = (segs(encode(request, profile=profile)) for profile in (OHIF, BUILT_IN["compressed"]))
    assert len(small.content) * 5 < len(plain.content)
