"""Presentation States: outlines that give the masks back, over an image that looks as before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from highdicom.color import CIELabColor
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

from models.image import decode, display
from node.dicom.kinds import ResultKind
from tests.support.data import sources
from tests.support.peers.readers import program, run
from tests.support.results import result_requests as made
from tests.support.results.interoperability import record
from tests.support.results.optional_results import CASES, one, request_of, results, stored
from workers.results.builders.presentation_state import MOST_POINTS, outlines


def _lut(kind: str, *, bits: int = 8) -> Dataset:
    """Return a lookup table of 12 bits in and 8 bits out that is no straight line; it may claim more bits."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, bits])
    if kind == "MODALITY":
        item.ModalityLUTType = "US"
    item.add_new("LUTData", "OW", (255 * (np.arange(4096) / 4095) ** 2).round().astype("<u2").tobytes())
    return item


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
UNUSABLE: dict[str, dict[str, Any]] = {
    "width of 0": {"WindowCenter": "2000", "WindowWidth": "0"},
    "window that shows nothing": {"WindowCenter": "9000", "WindowWidth": "2"},
    "unknown function": {"WindowCenter": "2000", "WindowWidth": "3000", "VOILUTFunction": "JUNK"},
    "empty LUTs": {"VOILUTSequence": [Dataset()], "ModalityLUTSequence": [Dataset()]},
    "LUT far below its bits": {"VOILUTSequence": [_lut("VOI", bits=16)]},
}


@pytest.mark.interoperability
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("greys", GREYS)
def test_dcmtk_shows_the_image_under_the_state_as_the_node_does(tmp_path: Path, greys: str, photometric: str) -> None:
    _compare(tmp_path, PhotometricInterpretation=photometric, **GREYS[greys])
    record(source=f"{photometric}, {greys}", object="PR", profile="complete", reader="DCMTK dcmp2pgm")


@pytest.mark.parametrize("greys", UNUSABLE)
def test_dcmtk_shows_an_image_with_unusable_greys_as_the_node_does(tmp_path: Path, greys: str) -> None:
    _compare(tmp_path, **UNUSABLE[greys])


def _compare(tmp_path: Path, **values: Any) -> None:
    """Compare what DCMTK shows of an image under its state with what the node shows."""
    dcmp2pgm = program("dcmp2pgm")
    request = request_of(sop_class=sources.CR, **values)(tmp_path)
    (result,) = results(request, ResultKind.PR)
    picture = tmp_path / "shown.pgm"
    done = run(dcmp2pgm, "-p", stored(result, tmp_path), request.sources[0].path, picture)
    assert done.returncode == 0, done.stderr
    with Image.open(picture) as opened:
        shown = np.asarray(opened, np.float32)
    ds = decode.open_dataset(request.sources[0].path)
    expected = 255 * display.show(decode.stored_values(ds), ds, None).values
    assert np.abs(shown - expected).max() < 2


_PLACE = "1111"
NO_NUMBERS = {
    "WindowCenter": ("abc ", "nan ", "    "),
    "WindowWidth": ("inf ", "-inf", "1\\2 "),
    "RescaleSlope": ("abc ", "0   ", "1e99"),
    "RescaleIntercept": ("abc ", "nan "),
    "PixelSpacing": ("abc ", "nan "),
}
_OTHERS = {
    "WindowCenter": "2000",
    "WindowWidth": "3000",
    "RescaleSlope": "2",
    "RescaleIntercept": "-100",
    "PixelSpacing": "0.2",
}


@pytest.mark.parametrize(
    ("keyword", "value"), [(keyword, value) for keyword, values in NO_NUMBERS.items() for value in values]
)
def test_a_state_shows_what_the_node_shows_where_the_header_holds_no_number(
    tmp_path: Path, keyword: str, value: str
) -> None:
    values = {**_OTHERS, keyword: _PLACE}
    values["PixelSpacing"] = [values["PixelSpacing"]] * 2
    request = request_of(**values)(tmp_path)
    path = request.sources[0].path
    path.write_bytes(path.read_bytes().replace(_PLACE.encode(), value.encode()))
    state, ds = one(request, ResultKind.PR), decode.open_dataset(path)
    plain = Dataset()
    plain.PhotometricInterpretation, plain.BitsStored, plain.PresentationLUTShape = "MONOCHROME2", 12, "IDENTITY"
    for attribute in ("RescaleSlope", "RescaleIntercept"):
        if attribute in state:
            plain[attribute] = state[attribute]
    plain.update(state.SoftcopyVOILUTSequence[0])
    stored_values = decode.stored_values(ds)
    shown = display.show(stored_values, plain, None)
    assert not any("not valid" in note or "no window" in note for note in shown.notes)
    assert np.abs(shown.values - display.show(stored_values, ds, None).values).max() < 1e-4


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
    dcmp2pgm, decompress = program("dcmp2pgm"), program(DECOMPRESSED_BY[name])
    path, plain, picture = data_folder / "dicom" / name, tmp_path / "plain.dcm", tmp_path / "shown.pgm"
    header = dcmread(path, stop_before_pixels=True)
    image = made.image(header.SOPInstanceUID, header.Rows, header.Columns)
    request = replace(made.request((path,), (image,)), study_instance_uid=str(header.StudyInstanceUID))
    (result,) = results(request, ResultKind.PR)
    if run(decompress, path, plain).returncode != 0:
        plain = path
    done = run(dcmp2pgm, "-p", stored(result, tmp_path), plain, picture)
    assert done.returncode == 0, done.stderr
    with Image.open(picture) as opened:
        shown = np.asarray(opened, np.float32)
    ds = decode.open_dataset(path)
    assert np.abs(shown - 255 * display.show(decode.stored_values(ds), ds, None).values).max() < 2


def test_a_sigmoid_window_stays_sigmoid(tmp_path: Path) -> None:
    # DCMTK 3.6.7 knows no VOI LUT Function, so that its picture proves nothing here.
    values = {"WindowCenter": "2000", "WindowWidth": "3000", "VOILUTFunction": "SIGMOID"}
    (voi,) = one(request_of(**values)(tmp_path), ResultKind.PR).SoftcopyVOILUTSequence
    assert (voi.VOILUTFunction, voi.WindowCenter, voi.WindowWidth) == ("SIGMOID", 2000, 3000)


def test_a_state_shows_pixels_that_are_not_square_in_their_proportions(tmp_path: Path) -> None:
    bare = {"drop": ("PixelSpacing", "ImagerPixelSpacing")}
    (area,) = one(
        request_of(PixelAspectRatio=["2", "1"], **bare)(tmp_path), ResultKind.PR
    ).DisplayedAreaSelectionSequence
    assert area.PresentationPixelAspectRatio == [2, 1]


SPACINGS: dict[str, tuple[dict[str, Any], list[float] | None, list[int] | None]] = {
    "at the detector": ({"drop": ("PixelSpacing",), "ImagerPixelSpacing": ["0.2", "0.1"]}, None, [2, 1]),
    "not said": ({"drop": ("ImagerPixelSpacing",), "PixelSpacing": ["0.15", "0.3"]}, None, [1, 2]),
    "square": ({"PixelSpacing": ["0.2", "0.2"]}, None, [1, 1]),
    "turned": (
        {"drop": ("PixelSpacing",), "ImagerPixelSpacing": ["0.2", "0.1"], "PatientOrientation": ["F", "L"]},
        None,
        [2, 1],
    ),
    "corrected": ({"PixelSpacing": ["0.18", "0.09"]}, [0.18, 0.09], None),
    "calibrated": ({"PixelSpacing": ["0.15", "0.15"], "PixelSpacingCalibrationType": "FIDUCIAL"}, [0.15, 0.15], None),
}


@pytest.mark.parametrize("name", SPACINGS)
def test_a_state_says_how_large_pixels_are_only_where_that_is_calibrated(tmp_path: Path, name: str) -> None:
    values, spacing, ratio = SPACINGS[name]
    (area,) = one(request_of(**values)(tmp_path), ResultKind.PR).DisplayedAreaSelectionSequence
    assert (area.get("PresentationPixelSpacing"), area.get("PresentationPixelAspectRatio")) == (spacing, ratio)


def test_an_outline_has_no_more_points_than_graphic_data_hold() -> None:
    comb = np.zeros((64, 9000), np.bool_)
    comb[10:60] = True
    comb[11:59, ::2] = False
    assert max(len(line) for line in outlines(comb)) <= MOST_POINTS
