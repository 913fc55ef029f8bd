"""The optional result objects before the tools of others, for every kind of source: dciodvfy, DCMTK, highdicom."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from highdicom.color import CIELabColor
from highdicom.ko import KeyObjectSelectionDocument
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

from models import codes, decode, display, pixels
from node.eligibility import Disposition, judge
from node.header import read_header
from node.profiles import DEFLATED_LITTLE_ENDIAN, JPEG_2000_LOSSLESS, RLE_LOSSLESS, ResultKind
from node.reasons import Reason
from tests import result_requests as made
from tests import sources
from tests.encoded import CLASSES, IDENTITY, read
from tests.integration.test_objects_tools import REAL, run, tool
from tests.optional_results import COMPLETE, one, results, with_heat_map
from workers.objects import equipment
from workers.objects.encode import encode
from workers.objects.request import DeclinedImage, EncodedResult, Predecessor, ResultRequest
from workers.objects.softcopy import MOST_POINTS, outlines
from workers.picture import overlay

Requests = Callable[[Path], ResultRequest]


def _lut(kind: str) -> Dataset:
    """Return a lookup table of 12 bits in and 8 bits out that is no straight line."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, 8])
    if kind == "MODALITY":
        item.ModalityLUTType = "US"
    item.add_new("LUTData", "OW", (255 * (np.arange(4096) / 4095) ** 2).round().astype("<u2").tobytes())
    return item


def _source(*, rows: int = 97, columns: int = 84, **values: Any) -> Requests:
    def request(folder: Path) -> ResultRequest:
        path = sources.source(folder, rows=rows, columns=columns, **values)
        image = made.with_pneumothorax(made.image(sources.uid(), rows, columns), codes.LEFT)
        return made.diseases((path,), with_heat_map(image))

    return request


_LACKING = (*IDENTITY, "PatientOrientation", "PixelSpacing", "SeriesNumber", "InstanceNumber", "PatientAge")
_POSITION: dict[str, Any] = {"ImagePositionPatient": [1, 2, 3], "ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}
CASES: dict[str, Requests] = {
    **{name: _source(sop_class=uid) for name, uid in CLASSES.items()},
    "MONOCHROME1": _source(sop_class=sources.CR, PhotometricInterpretation="MONOCHROME1"),
    "odd-width": _source(columns=83),
    "landscape": _source(rows=80, columns=131),
    "turned": _source(PatientOrientation=["R", "F"]),
    "frame-of-reference": _source(FrameOfReferenceUID="1.2.3"),
    "position": _source(FrameOfReferenceUID="1.2.3", **_POSITION),
    "bare": _source(sop_class=sources.CR, drop=_LACKING),
    "latin-1": _source(sop_class=sources.CR, SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jörg"),
    "japanese": _source(SpecificCharacterSet="ISO_IR 192", PatientName="Yamada^Tarou=山田^太郎"),
    "time-zone": _source(TimezoneOffsetFromUTC="+0530"),
    "window": _source(WindowCenter="2000", WindowWidth="3000"),
    "calibrated": _source(PixelSpacing=["0.15", "0.15"], PixelSpacingCalibrationType="FIDUCIAL"),
    "lossy": _source(LossyImageCompression="01", LossyImageCompressionRatio="12"),
}
KEYS = COMPLETE.model_copy(update={"objects": (ResultKind.SEG, ResultKind.SR, ResultKind.KO)})
KINDS = (ResultKind.KO, ResultKind.SC, ResultKind.PR, ResultKind.PM, ResultKind.DOC)


def _write(result: EncodedResult, folder: Path) -> Path:
    path = folder / f"{result.kind}.dcm"
    path.write_bytes(result.content)
    return path


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_dciodvfy_finds_no_error(tmp_path: Path, kind: ResultKind, name: str) -> None:
    dciodvfy = tool("dciodvfy")
    for result in results(CASES[name](tmp_path), kind):
        said = run(dciodvfy, "-new", _write(result, tmp_path)).stderr.splitlines()
        assert [line for line in said if line.startswith("Error")] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_revision_is_valid_and_stays_in_its_series(tmp_path: Path, kind: ResultKind) -> None:
    dciodvfy = tool("dciodvfy")
    request = CASES["DX"](tmp_path)
    (first,) = results(request, kind)
    earlier = (Predecessor(first.sop_class_uid, first.sop_instance_uid, first.series_instance_uid),)
    (second,) = results(replace(request, revision=2), kind, predecessors=earlier)
    assert second.series_instance_uid == first.series_instance_uid
    assert second.sop_instance_uid != first.sop_instance_uid
    assert read(second).InstanceNumber > read(first).InstanceNumber
    assert "Error" not in run(dciodvfy, "-new", _write(second, tmp_path)).stderr


@pytest.mark.parametrize("kind", KINDS)
def test_encoding_twice_gives_the_same_bytes(tmp_path: Path, kind: ResultKind) -> None:
    request = CASES["DX"](tmp_path)
    assert [r.sha256 for r in results(request, kind)] == [r.sha256 for r in results(request, kind)]


@pytest.mark.parametrize("kind", KINDS)
def test_patient_study_and_time_zone_are_those_of_the_source(tmp_path: Path, kind: ResultKind) -> None:
    request = CASES["time-zone"](tmp_path)
    source, ds = dcmread(request.sources[0]), one(request, kind)
    for keyword in (*IDENTITY, "StudyInstanceUID", "TimezoneOffsetFromUTC", "PatientAge", "StudyDescription"):
        assert str(ds[keyword].value) == str(source[keyword].value), keyword


@pytest.mark.parametrize("kind", KINDS)
def test_every_algorithm_contributes_equipment_before_the_library(tmp_path: Path, kind: ResultKind) -> None:
    request = CASES["DX"](tmp_path)
    items = one(request, kind).ContributingEquipmentSequence
    ours = [item for item in items if "DeviceUID" in item]
    assert ours == list(items[: len(ours)])
    (image,) = request.images
    shown = {
        ResultKind.KO: request.bundles,
        ResultKind.SC: request.bundles,
        ResultKind.PR: [segment.bundle for segment in image.segments],
        ResultKind.PM: [heat_map.bundle for heat_map in image.heat_maps],
        ResultKind.DOC: request.bundles,
    }
    digests = {bundle.digest for bundle in shown[kind]}
    uids = {a.model_name: a.uid for a in equipment.algorithms(request) if a.digest in digests}
    assert {item.ManufacturerModelName: item.DeviceUID for item in ours} == uids


def test_the_node_knows_its_own_capture_and_does_not_analyse_it(tmp_path: Path) -> None:
    (result,) = results(CASES["SC"](tmp_path), ResultKind.SC)
    verdict = judge(read_header(_write(result, tmp_path)))
    assert (verdict.disposition, verdict.reason) == (Disposition.IGNORE, Reason.OWN_RESULT)


def test_key_objects_are_the_positive_image_its_segs_and_the_report(tmp_path: Path) -> None:
    paths = tuple(sources.source(tmp_path, number=n) for n in (1, 2))
    positive, negative = made.image(sources.uid(1)), replace(made.image(sources.uid(2)), findings=())
    request = made.request(paths, (positive, negative))
    made_of = encode(request, profile=KEYS)
    (selection,) = (result for result in made_of if result.kind is ResultKind.KO)
    segs, others = ([r for r in made_of if r.kind is kind] for kind in (ResultKind.SEG, ResultKind.SR))
    shown = [
        seg.sop_instance_uid
        for seg in segs
        if read(seg).SourceImageSequence[0].ReferencedSOPInstanceUID == sources.uid(1)
    ]
    ds = KeyObjectSelectionDocument.from_dataset(read(selection))
    referred = [item.referenced_sop_instance_uid for item in ds.content.get_references()]
    assert referred == [sources.uid(1), *shown, *(report.sop_instance_uid for report in others)]
    assert len(segs) > len(shown) > 0
    for uid in referred:
        assert ds.resolve_reference(uid)[0] == request.study_instance_uid


def test_dsrdump_reads_why_to_look(tmp_path: Path) -> None:
    dsrdump = tool("dsrdump")
    (result,) = results(CASES["DX"](tmp_path), ResultKind.KO)
    done = run(dsrdump, "+Pl", _write(result, tmp_path))
    assert done.returncode == 0
    assert "Pneumothorax: present on the left (calibrated probability 0.910" in done.stdout
    assert "Atelectasis" not in done.stdout


def test_a_study_without_findings_has_key_objects_only_if_it_is_urgent(tmp_path: Path) -> None:
    path = sources.source(tmp_path)
    request = made.request((path,), (replace(made.image(sources.uid()), findings=()),))
    assert results(request, ResultKind.KO) == []
    ds = one(replace(request, urgent=True), ResultKind.KO)
    assert any("nothing found above a threshold" in item.get("TextValue", "") for item in ds.ContentSequence)


def test_an_image_that_cannot_be_referred_to_is_no_key_object(tmp_path: Path) -> None:
    path = sources.source(tmp_path)
    invalid = sources.with_invalid_uids(path)
    assert results(made.request((path,), (made.image(invalid),)), ResultKind.KO) == []


def test_the_capture_shows_the_radiograph_whole_and_unchanged_outside_the_overlay(tmp_path: Path) -> None:
    dcmj2pnm = tool("dcmj2pnm")
    request = CASES["MONOCHROME1"](tmp_path)
    (result,) = results(request, ResultKind.SC)
    run(dcmj2pnm, "+on", _write(result, tmp_path), tmp_path / "shown.png")
    with Image.open(tmp_path / "shown.png") as picture:
        shown = np.asarray(picture.convert("RGB"))
    radiograph, image = pixels.read(request.sources[0]), request.images[0]
    rows, columns = radiograph.shape
    assert np.array_equal(shown[:rows, :columns], overlay(radiograph, image))
    bare = np.logical_or.reduce([segment.mask for segment in image.segments])
    bare |= (shown[:rows, :columns] == (244, 247, 250)).all(axis=-1)
    grey = np.rint(radiograph.pixels * 255).astype(np.uint8)
    assert np.array_equal(shown[:rows, :columns][~bare], np.repeat(grey[~bare][:, np.newaxis], 3, axis=1))
    for segment in image.segments:
        assert (shown[:rows, :columns][segment.mask] == segment.colour_rgb).all(axis=-1).any()


@pytest.mark.parametrize("columns", [83, 84])
@pytest.mark.parametrize("syntax", [RLE_LOSSLESS, JPEG_2000_LOSSLESS])
def test_a_compressed_capture_holds_the_same_pixels(tmp_path: Path, syntax: str, columns: int) -> None:
    compressed = {RLE_LOSSLESS: {"compression": "rle"}, JPEG_2000_LOSSLESS: {"compression": "jpeg-2000"}}[syntax]
    request = _source(columns=columns)(tmp_path)
    ds = one(request, ResultKind.SC, profile=COMPLETE.model_copy(update=compressed))
    assert ds.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(ds.pixel_array, one(request, ResultKind.SC).pixel_array)


def test_a_capture_shows_no_attribute_of_the_patient(tmp_path: Path) -> None:
    names = {"PatientName": "Other^Person", "PatientID": "OTHER", "AccessionNumber": "OTHER", "PatientSex": "M"}
    first = one(_source()(tmp_path), ResultKind.SC)
    second = one(_source(**names, StudyDate="20200101", PatientBirthDate="19510101")(tmp_path), ResultKind.SC)
    assert first.PatientName != second.PatientName
    assert first.PixelData == second.PixelData


@pytest.mark.parametrize("said", ["YES", "NO", None])
def test_a_capture_repeats_what_the_source_says_of_burnt_in_identity(tmp_path: Path, said: str | None) -> None:
    values = {} if said is None else {"BurnedInAnnotation": said}
    assert one(_source(**values)(tmp_path), ResultKind.SC).get("BurnedInAnnotation") == said


def test_a_turned_image_is_captured_the_right_way_round(tmp_path: Path) -> None:
    assert one(CASES["turned"](tmp_path), ResultKind.SC).PatientOrientation == ["L", "F"]
    assert not one(CASES["bare"](tmp_path), ResultKind.SC).PatientOrientation


def test_only_calibrated_spacing_is_repeated(tmp_path: Path) -> None:
    assert one(CASES["calibrated"](tmp_path), ResultKind.SC).PixelSpacing == [0.15, 0.15]
    assert "PixelSpacing" not in one(CASES["DX"](tmp_path), ResultKind.SC)


def test_a_large_image_is_made_smaller_and_its_spacing_larger(tmp_path: Path) -> None:
    spacing = {"PixelSpacing": ["0.1", "0.1"], "PixelSpacingCalibrationType": "GEOMETRY"}
    ds = one(_source(rows=4096, columns=3000, **spacing)(tmp_path), ResultKind.SC)
    assert [float(value) for value in ds.PixelSpacing] == pytest.approx([0.2, 0.2])
    assert "2048 rows and 1500 columns" in ds.DerivationDescription


def test_pixels_that_are_not_square_are_shown_square(tmp_path: Path) -> None:
    values = {"PixelAspectRatio": ["2", "1"], "drop": ("PixelSpacing", "ImagerPixelSpacing")}
    ds = one(_source(**values)(tmp_path), ResultKind.SC)
    assert "194 rows and 84 columns" in ds.DerivationDescription


def test_a_capture_names_its_source_and_what_it_supersedes(tmp_path: Path) -> None:
    request = CASES["DX"](tmp_path)
    (first,) = results(request, ResultKind.SC)
    earlier = (Predecessor(first.sop_class_uid, first.sop_instance_uid, first.series_instance_uid),)
    ds = one(replace(request, revision=2), ResultKind.SC, predecessors=earlier)
    assert ds.SourceImageSequence[0].ReferencedSOPInstanceUID == sources.uid()
    assert ds.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == first.sop_instance_uid


@pytest.mark.parametrize("name", ["DX", "odd-width", "landscape"])
def test_filling_the_outlines_of_a_presentation_state_gives_the_masks(tmp_path: Path, name: str) -> None:
    request = CASES[name](tmp_path)
    ds = one(request, ResultKind.PR)
    layers = {layer.GraphicLayer: layer for layer in ds.GraphicLayerSequence}
    *annotations, _ = ds.GraphicAnnotationSequence
    for annotation, segment in zip(annotations, request.images[0].segments, strict=True):
        lines = [np.reshape(item.GraphicData, (-1, 2)) for item in annotation.GraphicObjectSequence]
        filled = np.zeros(segment.mask.shape, np.uint8)
        cv2.fillPoly(filled, [(line - 0.5).astype(np.int32) for line in lines], 1)
        assert np.array_equal(filled, segment.mask)
        layer = layers[annotation.GraphicLayer]
        colour = CIELabColor(*_lab(layer.GraphicLayerRecommendedDisplayCIELabValue))
        assert np.abs(np.subtract(colour.to_rgb(), segment.colour_rgb)).max() <= 1
        assert layer.GraphicLayerDescription in annotation.TextObjectSequence[0].UnformattedTextValue


def test_the_names_of_a_disease_and_of_its_organ_stand_apart(tmp_path: Path) -> None:
    request = CASES["DX"](tmp_path)
    (image,) = request.images
    *organs, disease = image.segments
    whole = replace(image, segments=(*organs, replace(disease, mask=organs[1].mask)))
    *annotations, _ = one(replace(request, images=(whole,)), ResultKind.PR).GraphicAnnotationSequence
    anchors = [tuple(annotation.TextObjectSequence[0].AnchorPoint) for annotation in annotations]
    assert len(set(anchors)) == len(anchors)


def _lab(value: list[int]) -> tuple[float, float, float]:
    """Return L*, a*, b* of a Recommended Display CIELab Value (PS3.3 section C.10.7.1.1)."""
    scaled = [int(part) / 65535 for part in value]
    return scaled[0] * 100, scaled[1] * 255 - 128, scaled[2] * 255 - 128


GREYS: dict[str, dict[str, Any]] = {
    "no window": {},
    "window": {"WindowCenter": "2000", "WindowWidth": "3000"},
    "two windows": {"WindowCenter": ["2000", "100"], "WindowWidth": ["3000", "50"]},
    "rescaled": {"RescaleSlope": "2", "RescaleIntercept": "-100", "WindowCenter": "4000", "WindowWidth": "6000"},
    "VOI LUT": {"VOILUTSequence": [_lut("VOI")]},
    "modality LUT": {"ModalityLUTSequence": [_lut("MODALITY")], "WindowCenter": "100", "WindowWidth": "150"},
}


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("greys", GREYS)
def test_dcmtk_shows_the_image_under_the_state_as_without_it(tmp_path: Path, greys: str, photometric: str) -> None:
    dcmp2pgm = tool("dcmp2pgm")
    request = _source(sop_class=sources.CR, PhotometricInterpretation=photometric, **GREYS[greys])(tmp_path)
    (result,) = results(request, ResultKind.PR)
    picture = tmp_path / "shown.pgm"
    done = run(dcmp2pgm, "-p", _write(result, tmp_path), request.sources[0], picture)
    assert done.returncode == 0, done.stderr
    with Image.open(picture) as opened:
        shown = np.asarray(opened, np.float32)
    ds = decode.open_dataset(request.sources[0])
    if greys == "no window":
        ds.WindowCenter, ds.WindowWidth, ds.VOILUTFunction = _whole_range(ds)
    expected = 255 * display.show(decode.stored_values(ds), ds, None).values
    assert np.abs(shown - expected).max() < 2


def _whole_range(ds: Dataset) -> tuple[float, float, str]:
    values = decode.stored_values(ds)
    low, high = int(values.min()), int(values.max())
    return (low + high) / 2, high - low, "LINEAR_EXACT"


def test_a_sigmoid_window_stays_sigmoid(tmp_path: Path) -> None:
    # DCMTK 3.6.7 knows no VOI LUT Function, so that its picture proves nothing here.
    values = {"WindowCenter": "2000", "WindowWidth": "3000", "VOILUTFunction": "SIGMOID"}
    (voi,) = one(_source(**values)(tmp_path), ResultKind.PR).SoftcopyVOILUTSequence
    assert (voi.VOILUTFunction, voi.WindowCenter, voi.WindowWidth) == ("SIGMOID", 2000, 3000)


def test_a_state_shows_pixels_that_are_not_square_in_their_proportions(tmp_path: Path) -> None:
    bare = {"drop": ("PixelSpacing", "ImagerPixelSpacing")}
    (area,) = one(_source(PixelAspectRatio=["2", "1"], **bare)(tmp_path), ResultKind.PR).DisplayedAreaSelectionSequence
    assert area.PresentationPixelAspectRatio == [2, 1]
    (area,) = one(_source(PixelSpacing=["0.2", "0.1"])(tmp_path), ResultKind.PR).DisplayedAreaSelectionSequence
    assert area.PresentationPixelSpacing == [0.2, 0.1]
    assert "PresentationPixelAspectRatio" not in area


def test_an_outline_has_no_more_points_than_graphic_data_hold() -> None:
    comb = np.zeros((64, 9000), np.bool_)
    comb[10:60] = True
    comb[11:59, ::2] = False
    assert max(len(line) for line in outlines(comb)) <= MOST_POINTS


@pytest.mark.parametrize("name", ["DX", "odd-width", "position"])
def test_dcmqi_reads_the_same_heat_map(tmp_path: Path, name: str) -> None:
    paramap2itkimage = tool("paramap2itkimage")
    request = CASES[name](tmp_path)
    (result,) = results(request, ResultKind.PM)
    done = run(paramap2itkimage, "--inputDICOM", _write(result, tmp_path), "--outputDirectory", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (heat_map,) = request.images[0].heat_maps
    assert np.array_equal(_nrrd(tmp_path / "pmap.nrrd"), heat_map.values)


def _nrrd(path: Path) -> np.ndarray[Any, Any]:
    """Read one slice of float32 values of a gzipped NRRD file."""
    header, _, body = path.read_bytes().partition(b"\n\n")
    fields = dict(line.split(": ", 1) for line in header.decode().splitlines() if ": " in line)
    assert (fields["type"], fields["encoding"]) == ("float", "gzip")
    columns, rows, _ = map(int, fields["sizes"].split())
    return np.frombuffer(gzip.decompress(body), "<f4").reshape(rows, columns)


def test_a_heat_map_says_of_which_finding_it_is(tmp_path: Path) -> None:
    ds = one(CASES["DX"](tmp_path), ResultKind.PM)
    (mapping,) = ds.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    codes_said = {item.ConceptCodeSequence[0].CodeValue for item in mapping.QuantityDefinitionSequence}
    assert codes_said == {"CLASS-ACTIVATION", codes.PNEUMOTHORAX.value}
    unit = mapping.MeasurementUnitsCodeSequence[0]
    assert (unit.CodeValue, unit.CodingSchemeDesignator) == ("1", "UCUM")


def test_a_heat_map_has_the_frame_of_reference_of_its_source_or_one_of_its_own(tmp_path: Path) -> None:
    placed, bare = CASES["position"](_folder(tmp_path)), CASES["DX"](tmp_path)
    assert one(placed, ResultKind.PM).FrameOfReferenceUID == "1.2.3"
    assert one(bare, ResultKind.PM).FrameOfReferenceUID.startswith("2.25.")


def _folder(parent: Path) -> Path:
    folder = parent / "other"
    folder.mkdir()
    return folder


def test_a_heat_map_of_another_grid_is_refused(tmp_path: Path) -> None:
    request = CASES["DX"](tmp_path)
    (image,) = request.images
    (heat_map,) = image.heat_maps
    wrong = replace(image, heat_maps=(replace(heat_map, values=heat_map.values[:-1]),))
    with pytest.raises(ValueError, match="the image is"):
        results(replace(request, images=(wrong,)), ResultKind.PM)


def test_what_comes_of_a_lossy_image_says_so(tmp_path: Path) -> None:
    for kind in (ResultKind.SC, ResultKind.PM):
        assert one(CASES["lossy"](tmp_path), kind).LossyImageCompression == "01"


def _page(result: EncodedResult, folder: Path) -> bytes:
    """Return the PDF that DCMTK takes out of an object, without the byte that makes its length even."""
    done = run(tool("dcm2pdf"), _write(result, folder), folder / "page.pdf")
    assert done.returncode == 0, done.stderr
    return (folder / "page.pdf").read_bytes()[: read(result).EncapsulatedDocumentLength]


def _text(page: bytes) -> str:
    """Return the characters that a PDF of matplotlib's shows, as they follow each other."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", page, re.DOTALL)
    shown = next(content for content in map(zlib.decompress, streams) if b"BT\n" in content)
    parts = re.findall(rb"\(((?:\\.|[^\\)])*)\)", shown, re.DOTALL)
    return b"".join(parts).replace(b"\0", b"").replace(b"\\", b"").decode("latin-1")


def test_the_page_is_one_a4_with_its_fonts_and_without_a_date(tmp_path: Path) -> None:
    (result,) = results(CASES["DX"](tmp_path), ResultKind.DOC)
    page = _page(result, tmp_path)
    assert page.startswith(b"%PDF-") and page.rstrip().endswith(b"%%EOF")
    assert len(re.findall(rb"/Type /Page\b", page)) == 1
    assert b"/MediaBox [ 0 0 595.44 841.68 ]" in page
    assert b"/FontFile2" in page
    assert not any(word in page for word in (b"CreationDate", b"ModDate"))


def test_the_page_says_what_was_found_and_what_it_is_not(tmp_path: Path) -> None:
    (result,) = results(CASES["DX"](tmp_path), ResultKind.DOC)
    text = _text(_page(result, tmp_path))
    assert "Research use only - not for clinical use" in text
    assert "Pneumothorax: present on the left" in text
    assert "Cardiothoracic ratio: 0.47" in text
    assert "pneumothorax-segmentation 1.0.0" in text
    assert result.sop_instance_uid in text


def test_the_page_shows_no_attribute_of_the_patient(tmp_path: Path) -> None:
    names = {"PatientName": "Other^Person", "PatientID": "OTHER", "AccessionNumber": "OTHER", "PatientSex": "M"}
    first = one(_source()(tmp_path), ResultKind.DOC)
    second = one(_source(**names, StudyDate="20200101", PatientBirthDate="19510101")(tmp_path), ResultKind.DOC)
    assert first.PatientName != second.PatientName
    assert first.EncapsulatedDocument == second.EncapsulatedDocument


@pytest.mark.parametrize(("said", "expected"), [("YES", "YES"), ("NO", "NO"), (None, "YES")])
def test_a_page_denies_burnt_in_identity_only_where_the_source_does(
    tmp_path: Path, said: str | None, expected: str
) -> None:
    values = {} if said is None else {"BurnedInAnnotation": said}
    assert one(_source(**values)(tmp_path), ResultKind.DOC).BurnedInAnnotation == expected


def test_a_declined_study_has_a_page_that_says_why(tmp_path: Path) -> None:
    dciodvfy = tool("dciodvfy")
    declined = DeclinedImage(sources.uid(), Reason.LATERAL_VIEW, "View Position is LL.")
    (result,) = results(made.request((sources.source(tmp_path),), (), declined), ResultKind.DOC)
    assert "Error" not in run(dciodvfy, "-new", _write(result, tmp_path)).stderr
    assert "View is not frontal" in _text(_page(result, tmp_path))


def test_a_page_names_the_one_that_it_supersedes(tmp_path: Path) -> None:
    request = CASES["DX"](tmp_path)
    (first,) = results(request, ResultKind.DOC)
    earlier = (Predecessor(first.sop_class_uid, first.sop_instance_uid, first.series_instance_uid),)
    ds = one(replace(request, revision=2), ResultKind.DOC, predecessors=earlier)
    (series,) = ds.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.sop_instance_uid
    assert ds.SourceInstanceSequence[0].ReferencedSOPInstanceUID == sources.uid()


@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_in_the_language_of_the_profile(tmp_path: Path, kind: ResultKind) -> None:
    german = COMPLETE.model_copy(update={"language": "de"})
    request = CASES["DX"](tmp_path)
    (english,), (other,) = results(request, kind), results(request, kind, profile=german)
    assert english.sop_instance_uid != other.sop_instance_uid
    match kind:
        case ResultKind.KO:
            assert any("vorhanden" in item.get("TextValue", "") for item in read(other).ContentSequence)
        case ResultKind.PR:
            names = [layer.get("GraphicLayerDescription") for layer in read(other).GraphicLayerSequence]
            assert "Herz" in names
        case ResultKind.SC:
            assert not np.array_equal(read(english).pixel_array, read(other).pixel_array)
        case ResultKind.PM:
            assert "Pneumothorax" in read(other).ContentDescription
        case ResultKind.DOC:
            assert "Herz" in _text(_page(other, tmp_path))


@pytest.mark.parametrize("kind", KINDS)
def test_deflated_objects_hold_the_same(tmp_path: Path, kind: ResultKind) -> None:
    dcmdump = tool("dcmdump")
    deflated = COMPLETE.model_copy(update={"compression": "deflated"})
    request = CASES["odd-width"](tmp_path)
    (result,) = results(request, kind, profile=deflated)
    ds, plain = read(result), one(request, kind)
    assert ds.file_meta.TransferSyntaxUID == DEFLATED_LITTLE_ENDIAN
    for keyword in ("PixelData", "FloatPixelData", "DocumentTitle", "StudyInstanceUID", "PatientID"):
        assert ds.get(keyword) == plain.get(keyword)
    assert run(dcmdump, _write(result, tmp_path)).returncode == 0


# pydicom warns of odd values of these files, as they are; encoding itself silences it.
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("name", REAL)
def test_results_of_real_images_are_valid(data_folder: Path, tmp_path: Path, name: str) -> None:
    dciodvfy = tool("dciodvfy")
    path = data_folder / "dicom" / name
    header = dcmread(path, stop_before_pixels=True)
    if not header.SOPInstanceUID.is_valid:
        pytest.skip("has an invalid UID, which no result can refer to")
    image = made.with_pneumothorax(made.image(header.SOPInstanceUID, header.Rows, header.Columns), codes.LEFT)
    request = made.diseases((path,), with_heat_map(image))
    request = replace(request, study_instance_uid=str(header.StudyInstanceUID))
    for kind in KINDS:
        (result,) = results(request, kind)
        said = run(dciodvfy, "-new", _write(result, tmp_path)).stderr.splitlines()
        assert [line for line in said if line.startswith("Error")] == [], kind


DECOMPRESSED_BY = {
    "chest-cr-monochrome1-jpegls-near.dcm": "dcmdjpls",
    "chest-siim-sc-jpegbaseline.dcm": "dcmdjpeg",
    "not-chest-extremity-rle.dcm": "dcmdrle",
    "not-chest-hip-jpegls.dcm": "dcmdjpls",
    "not-human-dx-lateral-thorax.dcm": "dcmdjpeg",
}


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("name", DECOMPRESSED_BY)
def test_dcmtk_shows_real_images_under_the_state_as_the_node_does(data_folder: Path, tmp_path: Path, name: str) -> None:
    dcmp2pgm, decompress = tool("dcmp2pgm"), tool(DECOMPRESSED_BY[name])
    path, plain, picture = data_folder / "dicom" / name, tmp_path / "plain.dcm", tmp_path / "shown.pgm"
    header = dcmread(path, stop_before_pixels=True)
    image = made.image(header.SOPInstanceUID, header.Rows, header.Columns)
    request = replace(made.request((path,), (image,)), study_instance_uid=str(header.StudyInstanceUID))
    (result,) = results(request, ResultKind.PR)
    if run(decompress, path, plain).returncode != 0:
        plain = path
    done = run(dcmp2pgm, "-p", _write(result, tmp_path), plain, picture)
    assert done.returncode == 0, done.stderr
    with Image.open(picture) as opened:
        shown = np.asarray(opened, np.float32)
    ds = decode.open_dataset(path)
    assert np.abs(shown - 255 * display.show(decode.stored_values(ds), ds, None).values).max() < 2
