"""Where diameters were measured: coordinates of the source image in the report, and the same in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydicom.dataset import Dataset

from models.values import codes
from models.values.findings import ImageFindings, Point
from node.delivery.profiles import OHIF
from tests.support.data import sources
from tests.support.results import result_requests
from tests.support.results.encoded import items, named, one_image, report_of
from workers.results.encode import encode
from workers.results.request import ResultRequest
from workers.results.text import vocabulary
from workers.results.text.summary import summary

HEART = (Point(60.5, 32.0), Point(70.5, 56.0))
CHEST = (Point(40.5, 8.0), Point(44.5, 72.0))
EXTENTS = {codes.HEART: (HEART,), codes.THORAX: (CHEST,)}


def _with_extents(image: ImageFindings) -> ImageFindings:
    measurements = tuple(
        replace(
            m,
            extents=(HEART, CHEST)
            if m.code == codes.CARDIOTHORACIC_RATIO
            else EXTENTS.get(m.finding_site or codes.LUNG, ()),
        )
        for m in image.measurements
    )
    return replace(image, measurements=measurements)


def _request(folder: Path, **values: object) -> ResultRequest:
    request = one_image(folder, **values)
    return replace(request, images=(_with_extents(request.images[0]),))


def _coordinates(item: Dataset) -> list[list[float]]:
    return [[float(v) for v in i.GraphicData] for i in items(item) if i.ValueType == "SCOORD"]


def test_each_diameter_has_the_two_points_where_it_ends_and_the_ratio_all_four(tmp_path: Path) -> None:
    sr = report_of(encode(_request(tmp_path), profile=OHIF))
    heart, chest = [32.0, 60.5, 56.0, 70.5], [8.0, 40.5, 72.0, 44.5]
    assert [_coordinates(item) for item in named(sr, codes.WIDTH.value)] == [[heart], [chest]]
    (ratio,) = named(sr, codes.CARDIOTHORACIC_RATIO.value)
    assert _coordinates(ratio) == [heart, chest]
    assert all(_coordinates(area) == [] for area in named(sr, codes.AREA.value))


def test_coordinates_are_points_selected_from_the_image(tmp_path: Path) -> None:
    sr = report_of(encode(_request(tmp_path), profile=OHIF))
    found = [item for item in items(sr) if item.ValueType == "SCOORD"]
    assert len(found) == 4
    for item in found:
        assert (item.GraphicType, item.RelationshipType) == ("MULTIPOINT", "INFERRED FROM")
        (image,) = item.ContentSequence
        assert (image.ValueType, image.RelationshipType) == ("IMAGE", "SELECTED FROM")
        assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == sources.uid()


def test_the_same_stands_in_words(tmp_path: Path) -> None:
    sr = report_of(encode(_request(tmp_path), profile=OHIF))
    comments = [str(i.TextValue) for i in named(sr, vocabulary.COMMENT.value)]
    assert (
        "Cardiac diameter: width along the patient's horizontal, from column 32.0, row 60.5 to column 56.0, row 70.5 "
        "of the source image (the upper left corner of its first pixel is column 0, row 0)."
    ) in comments
    assert "Cardiac diameter: 122 mm" in comments
    assert any(line.startswith("Cardiothoracic ratio: widest extent of the heart over") for line in comments)


def test_an_image_that_cannot_be_referenced_has_words_only(tmp_path: Path) -> None:
    request = _request(tmp_path)
    (path,) = result_requests.paths_of(request)
    invalid = sources.with_invalid_uids(path)
    request = replace(
        request, sources=sources.read_sources([path]), images=(replace(request.images[0], sop_instance_uid=invalid),)
    )
    sr = report_of(encode(request, profile=OHIF))
    assert not [item for item in items(sr) if item.ValueType == "SCOORD"]
    assert any("from column" in str(i.TextValue) for i in named(sr, vocabulary.COMMENT.value))


def test_the_summary_has_the_points(tmp_path: Path) -> None:
    found = summary(_request(tmp_path))["images"][0]["measurements"]
    by_label = {m["label"]: m["extents"] for m in found}
    assert by_label["Cardiac diameter"] == [[{"row": 60.5, "column": 32.0}, {"row": 70.5, "column": 56.0}]]
    assert by_label["Right lung area"] == []
