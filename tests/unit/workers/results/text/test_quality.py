"""What the report says of the quality of an image: only what is known, in codes and in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from models.values.codes import Code
from models.values.findings import Edge
from node.delivery.profiles import OHIF
from tests.support.data import sources
from tests.support.results import result_requests as made
from tests.support.results.encoded import answers, measurement_groups, named, one_image, report_of
from workers.results.encode import encode
from workers.results.request import ResultRequest
from workers.results.text import vocabulary
from workers.results.text.summary import summary
from workers.results.text.wording import study_lines


def _quality(request: ResultRequest) -> Dataset:
    """Return the group on image quality; there is one for each image."""
    groups = measurement_groups(report_of(encode(request, profile=OHIF)))
    (group,) = [g for g in groups if answers(g, "121071") == [vocabulary.IMAGE_QUALITY.value]]
    return group


def _said(group: Dataset) -> list[str]:
    return [str(item.TextValue) for item in named(group, vocabulary.COMMENT.value)]


def _cut_off(request: ResultRequest, edges: tuple[Edge, ...] | None) -> ResultRequest:
    return replace(request, images=(replace(request.images[0], cut_off=edges),))


def test_every_image_has_a_group_of_its_own_that_refers_to_it(tmp_path: Path) -> None:
    group = _quality(one_image(tmp_path))
    assert [i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in named(group, "121112")] == [sources.uid()]
    assert "96 rows and 80 columns." in _said(group)
    assert named(group, vocabulary.PIXEL_NOTE.value)[0].TextValue == "Inverted: MONOCHROME1."


@pytest.mark.parametrize(
    ("header", "answer", "said"),
    [
        ({}, vocabulary.SPACING_AT_DETECTOR, "mm at the detector."),
        ({"PixelSpacing": ["0.18", "0.18"]}, vocabulary.SPACING_CALIBRATED, "corrected for magnification."),
        (
            {"PixelSpacing": ["90", "90"], "ImagerPixelSpacing": ["90", "90"]},
            vocabulary.SPACING_UNKNOWN,
            "No usable pixel spacing is given.",
        ),
    ],
    ids=["detector", "corrected", "not plausible"],
)
def test_pixel_spacing_is_at_the_detector_corrected_or_unknown(
    tmp_path: Path, header: dict[str, Any], answer: Code, said: str
) -> None:
    group = _quality(one_image(tmp_path, **header))
    assert answers(group, vocabulary.PIXEL_SPACING.value) == [answer.value]
    assert any(line.endswith(said) for line in _said(group)), _said(group)


@pytest.mark.parametrize(
    ("header", "answer", "said"),
    [
        ({}, [], ""),
        ({"LossyImageCompression": "00"}, [vocabulary.ABSENT.value], "was not compressed with loss"),
        ({"LossyImageCompression": "01"}, [vocabulary.PRESENT.value], "(method and ratio not given)"),
        (
            {
                "LossyImageCompression": "01",
                "LossyImageCompressionMethod": "ISO_10918_1",
                "LossyImageCompressionRatio": "12.5",
            },
            [vocabulary.PRESENT.value],
            "(method JPEG, ratio 12.5)",
        ),
    ],
    ids=["not said", "no", "yes", "by JPEG"],
)
def test_lossy_compression_is_said_as_the_header_has_it(
    tmp_path: Path, header: dict[str, Any], answer: list[str], said: str
) -> None:
    request = one_image(tmp_path, **header)
    group = _quality(request)
    assert answers(group, vocabulary.LOSSY_COMPRESSION.value) == answer
    assert any(said in line for line in _said(group))
    matters = any("fine detail may be missing" in line for line in study_lines(request, request.sources))
    assert matters == (answer == [vocabulary.PRESENT.value])


@pytest.mark.parametrize(
    ("view", "answer", "said"),
    [
        ("AP", [vocabulary.ANTERO_POSTERIOR.value], "heart and mediastinum look larger"),
        ("PA", [vocabulary.POSTERO_ANTERIOR.value], "PA view."),
        ("LLD", [], "View LLD."),
        ("ZZSECRET", [], "View given is not a known one."),
        ("", [], "View not given"),
    ],
)
def test_the_view_is_coded_and_an_ap_view_is_warned_of(tmp_path: Path, view: str, answer: list[str], said: str) -> None:
    request = one_image(tmp_path, ViewPosition=view)
    group = _quality(request)
    assert answers(group, vocabulary.IMAGE_VIEW.value) == answer
    assert any(said in line for line in _said(group))
    assert any("AP view, " in line for line in summary(request)["text"]) == (view == "AP")


def test_lungs_at_the_edge_are_said_with_the_edges(tmp_path: Path) -> None:
    request = _cut_off(one_image(tmp_path), (Edge.BOTTOM, Edge.LEFT))
    group = _quality(request)
    assert answers(group, vocabulary.LUNGS_AT_EDGE.value) == [vocabulary.PRESENT.value]
    (said,) = [line for line in _said(group) if "edge of the image" in line]
    assert "(bottom, the patient's left)" in said
    assert said in summary(request)["text"]


def test_lungs_within_the_image_are_said_to_be(tmp_path: Path) -> None:
    group = _quality(_cut_off(one_image(tmp_path), ()))
    assert answers(group, vocabulary.LUNGS_AT_EDGE.value) == [vocabulary.ABSENT.value]


def test_what_was_not_measured_is_not_said(tmp_path: Path) -> None:
    group = _quality(_cut_off(one_image(tmp_path), None))
    assert answers(group, vocabulary.LUNGS_AT_EDGE.value) == []
    assert "Rotation, inspiration, exposure and motion were not assessed." in _said(group)


def test_an_image_that_the_gate_refused_has_its_quality_too(tmp_path: Path) -> None:
    request = made.request((sources.source(tmp_path, ViewPosition="AP"),), (made.refused(sources.uid()),))
    assert answers(_quality(request), vocabulary.IMAGE_VIEW.value) == [vocabulary.ANTERO_POSTERIOR.value]


def test_the_summary_has_the_same(tmp_path: Path) -> None:
    request = _cut_off(one_image(tmp_path), (Edge.TOP,))
    seen = {one["name"]: one for one in summary(request)["images"][0]["quality"] if one["name"]}
    assert seen["Lungs reach the edge of the image"]["answer"] == "Present"
    assert seen["Lungs reach the edge of the image"]["matters"]
