"""Secondary Captures: whole, unchanged outside the overlay, without the patient, right in size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.image import pixels
from node.dicom.header import read_header
from node.dicom.kinds import ResultKind
from node.dicom.uids import JPEG_2000_LOSSLESS, RLE_LOSSLESS
from node.intake.eligibility import Eligibility, judge
from node.reasons import Reason
from tests.support.data import sources
from tests.support.peers.readers import program, run
from tests.support.results.interoperability import record
from tests.support.results.optional_results import CASES, COMPLETE, one, request_of, results, stored
from workers.pipelines.chest.pipeline import PIPELINE as CHEST_PIPELINE
from workers.results.rendering.overlay import overlay
from workers.results.request import Predecessor


@pytest.mark.interoperability
def test_the_capture_shows_the_radiograph_whole_and_unchanged_outside_the_overlay(tmp_path: Path) -> None:
    dcmj2pnm = program("dcmj2pnm")
    request = CASES["MONOCHROME1"](tmp_path)
    (result,) = results(request, ResultKind.SC)
    run(dcmj2pnm, "+on", stored(result, tmp_path), tmp_path / "shown.png")
    with Image.open(tmp_path / "shown.png") as picture:
        shown = np.asarray(picture.convert("RGB"))
    radiograph, image = pixels.read(request.sources[0].path), request.images[0]
    rows, columns = radiograph.shape
    assert np.array_equal(shown[:rows, :columns], overlay(radiograph, image))
    bare = np.logical_or.reduce([segment.mask for segment in image.segments])
    bare |= (shown[:rows, :columns] == (244, 247, 250)).all(axis=-1)
    grey = np.rint(radiograph.pixels * 255).astype(np.uint8)
    assert np.array_equal(shown[:rows, :columns][~bare], np.repeat(grey[~bare][:, np.newaxis], 3, axis=1))
    for segment in image.segments:
        assert (shown[:rows, :columns][segment.mask] == segment.colour_rgb).all(axis=-1).any()
    record(source="MONOCHROME1", object="SC", profile="complete", reader="DCMTK dcmj2pnm")


@pytest.mark.parametrize("columns", [83, 84])
@pytest.mark.parametrize("syntax", [RLE_LOSSLESS, JPEG_2000_LOSSLESS])
def test_a_compressed_capture_holds_the_same_pixels(tmp_path: Path, syntax: str, columns: int) -> None:
    compressed = {RLE_LOSSLESS: {"compression": "rle"}, JPEG_2000_LOSSLESS: {"compression": "jpeg-2000"}}[syntax]
    request = request_of(columns=columns)(tmp_path)
    ds = one(request, ResultKind.SC, profile=COMPLETE.model_copy(update=compressed))
    assert ds.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(ds.pixel_array, one(request, ResultKind.SC).pixel_array)


def test_a_capture_shows_no_attribute_of_the_patient(tmp_path: Path) -> None:
    names = {"PatientName": "Other^Person", "PatientID": "OTHER", "AccessionNumber": "OTHER", "PatientSex": "M"}
    first = one(request_of()(tmp_path), ResultKind.SC)
    second = one(request_of(**names, StudyDate="20200101", PatientBirthDate="19510101")(tmp_path), ResultKind.SC)
    assert first.PatientName != second.PatientName
    assert first.PixelData == second.PixelData


@pytest.mark.parametrize("said", ["YES", "NO", None])
def test_a_capture_repeats_what_the_source_says_of_burnt_in_identity(tmp_path: Path, said: str | None) -> None:
    values = {} if said is None else {"BurnedInAnnotation": said}
    assert one(request_of(**values)(tmp_path), ResultKind.SC).get("BurnedInAnnotation") == said


def test_a_turned_image_is_captured_the_right_way_round(tmp_path: Path) -> None:
    assert one(CASES["turned"](tmp_path), ResultKind.SC).PatientOrientation == ["L", "F"]
    assert not one(CASES["bare"](tmp_path), ResultKind.SC).PatientOrientation


def test_only_calibrated_spacing_is_repeated(tmp_path: Path) -> None:
    assert one(CASES["calibrated"](tmp_path), ResultKind.SC).PixelSpacing == [0.15, 0.15]
    assert "PixelSpacing" not in one(CASES["DX"](tmp_path), ResultKind.SC)


def test_a_large_image_is_made_smaller_and_its_spacing_larger(tmp_path: Path) -> None:
    spacing = {"PixelSpacing": ["0.1", "0.1"], "PixelSpacingCalibrationType": "GEOMETRY"}
    ds = one(request_of(rows=4096, columns=3000, **spacing)(tmp_path), ResultKind.SC)
    assert [float(value) for value in ds.PixelSpacing] == pytest.approx([0.2, 0.2])
    assert "2048 rows and 1500 columns" in ds.DerivationDescription


def test_pixels_that_are_not_square_are_shown_square(tmp_path: Path) -> None:
    values = {"PixelAspectRatio": ["2", "1"], "drop": ("PixelSpacing", "ImagerPixelSpacing")}
    ds = one(request_of(**values)(tmp_path), ResultKind.SC)
    assert "194 rows and 84 columns" in ds.DerivationDescription


def test_a_capture_names_its_source_and_what_it_supersedes(tmp_path: Path) -> None:
    request = CASES["DX"](tmp_path)
    (first,) = results(request, ResultKind.SC)
    earlier = (Predecessor(first.sop_class_uid, first.sop_instance_uid, first.series_instance_uid),)
    ds = one(replace(request, revision=2), ResultKind.SC, predecessors=earlier)
    assert ds.SourceImageSequence[0].ReferencedSOPInstanceUID == sources.uid()
    assert ds.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == first.sop_instance_uid


def test_the_node_knows_its_own_capture_and_does_not_analyse_it(tmp_path: Path) -> None:
    (result,) = results(CASES["SC"](tmp_path), ResultKind.SC)
    verdict = judge(read_header(stored(result, tmp_path)), CHEST_PIPELINE)
    assert (verdict.eligibility, verdict.reason) == (Eligibility.IGNORE, Reason.OWN_RESULT)
