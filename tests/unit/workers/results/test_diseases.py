"""Outlined diseases in SEG, SR, summary, picture and words; regions that were not found; thresholds of a site."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from models.image.pixels import Radiograph
from models.values import codes
from models.values.codes import Code
from models.values.findings import Finding, NotComputedReason, Segment
from node.delivery.profiles import OHIF, Profile
from tests.support.data import sources
from tests.support.data.sources import read_sources
from tests.support.results import result_requests as made
from tests.support.results.encoded import PROFILES, answers, code_of, measurement_groups, named, read, report_of
from workers.results.encode import encode
from workers.results.preflight import PreflightFailed, preflight
from workers.results.readback import findings_of_segs
from workers.results.rendering.overlay import overlay_png
from workers.results.request import ResultRequest
from workers.results.text import vocabulary
from workers.results.text.summary import summary
from workers.results.text.wording import finding_sentence, study_lines, study_status

SIDES = {"right": codes.RIGHT, "left": codes.LEFT, "both": codes.BILATERAL}


def outlined(folder: Path, *, side: Code | None = codes.LEFT) -> ResultRequest:
    """Return a request with a pneumothorax that was found and outlined."""
    path = sources.source(folder)
    return made.diseases((path,), made.with_pneumothorax(made.image(sources.uid()), side))


def group_of(sr: Dataset, label: str) -> Dataset:
    """Return the measurement group whose Tracking Identifier begins with a label."""
    (found,) = [g for g in measurement_groups(sr) if named(g, "112039")[0].TextValue.startswith(f"{label},")]
    return found


def groups_of(sr: Dataset, label: str) -> list[Dataset]:
    return [g for g in measurement_groups(sr) if named(g, "112039")[0].TextValue.startswith(f"{label},")]


def side_of(group: Dataset) -> list[tuple[str, list[str]]]:
    """Return each finding site with its lateralities."""
    return [
        (code_of(item.ConceptCodeSequence[0]), answers(item, "272741003"))
        for item in group.ContentSequence
        if code_of(item.ConceptNameCodeSequence[0]) == "363698007"
    ]


@pytest.mark.parametrize("side", SIDES.values(), ids=SIDES)
def test_the_seg_codes_a_disease_with_its_side_and_colour(tmp_path: Path, side: Code) -> None:
    lungs, seg, _ = (read(result) for result in encode(outlined(tmp_path, side=side), profile=OHIF))
    (item,) = seg.SegmentSequence
    assert item.SegmentLabel == "Pneumothorax"
    assert code_of(item.SegmentedPropertyCategoryCodeSequence[0]) == "49755003"
    (kind,) = item.SegmentedPropertyTypeCodeSequence
    assert code_of(kind) == "36118008"
    assert [code_of(one) for one in kind.SegmentedPropertyTypeModifierCodeSequence] == [side.value]
    for ds, name, count in ((lungs, "lungs-heart", 3), (seg, "pneumothorax-segmentation", 1)):
        names = [str(one.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName) for one in ds.SegmentSequence]
        assert names == [name] * count
        assert [str(item.ManufacturerModelName) for item in ds.ContributingEquipmentSequence[:-1]] == [name]


def test_a_disease_does_not_move_the_seg_to_another_series(tmp_path: Path) -> None:
    request = outlined(tmp_path)
    image = request.images[0]
    without = replace(request, images=(replace(image, segments=image.segments[:3]),))
    assert encode(request, profile=OHIF)[0].series_instance_uid == encode(without, profile=OHIF)[0].series_instance_uid


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("side", [*SIDES.values(), None], ids=[*SIDES, "unknown"])
def test_the_report_codes_site_and_side_of_finding_and_segment(
    tmp_path: Path, profile: Profile, side: Code | None
) -> None:
    sr = report_of(encode(outlined(tmp_path, side=side), profile=profile))
    finding, segment = groups_of(sr, "Pneumothorax")
    expected = [("3120008", [] if side is None else [side.value])]
    assert side_of(finding) == side_of(segment) == expected
    assert answers(finding, "36118008") == ["52101004"]
    assert answers(segment, "121071") == answers(finding, "121071") == ["36118008"]
    numbers = {code_of(n.ConceptNameCodeSequence[0]): n for n in segment.ContentSequence if n.ValueType == "NUM"}
    assert set(numbers) == {"42798000", "PART-OF-LUNG"}
    value = numbers["PART-OF-LUNG"].MeasuredValueSequence[0]
    assert (float(value.NumericValue), code_of(value.MeasurementUnitsCodeSequence[0])) == (8.25, "%")


def test_the_site_of_a_finding_without_a_side_is_said_too(tmp_path: Path) -> None:
    sr = report_of(encode(outlined(tmp_path), profile=OHIF))
    assert side_of(group_of(sr, "Atelectasis")) == [("39607008", [])]


@pytest.mark.parametrize("profile", PROFILES)
def test_what_is_read_back_is_what_was_found(tmp_path: Path, profile: Profile) -> None:
    request = outlined(tmp_path, side=codes.BILATERAL)
    lungs, seg, sr = (tmp_path / name for name in ("lungs.dcm", "seg.dcm", "sr.dcm"))
    for path, result in zip((lungs, seg, sr), encode(request, profile=profile), strict=True):
        path.write_bytes(result.content)
    found, expected = findings_of_segs([lungs, seg], sr), request.images[0]
    assert [(f.label, f.laterality) for f in found.findings] == [
        (f.label.capitalize(), f.laterality) for f in expected.findings
    ]
    assert found.segments[-1].laterality == codes.BILATERAL
    np.testing.assert_array_equal(found.segments[-1].mask, expected.segments[-1].mask)
    areas = {m.value for m in found.measurements if m.finding_site == codes.PLEURA}
    assert areas == {14.5, 8.25}


def test_the_same_words_stand_in_summary_and_report(tmp_path: Path) -> None:
    request = outlined(tmp_path)
    said = summary(request)
    (image,) = said["images"]
    finding = next(one for one in image["findings"] if one["label"] == "Pneumothorax")
    assert (finding["decision"], finding["laterality"], finding["code"]) == ("present", "left", "36118008 SCT")
    structure = image["structures"][-1]
    assert (structure["category"], structure["laterality"], structure["is_disease"]) == (
        "Morphologically Abnormal Structure",
        "left",
        True,
    )
    assert (
        "Pneumothorax: present on the left (calibrated probability 0.910, at or above the threshold 0.420)"
        in said["text"]
    )
    assert "Pneumothorax, part of the left lung: 8.2 percent" in said["text"]
    texts = [item.TextValue for item in named(report_of(encode(request, profile=OHIF)), "121111")]
    assert texts == said["text"]


def test_both_sides_are_named_in_words() -> None:
    finding = Finding("pneumothorax", codes.PNEUMOTHORAX, 0.9, 0.5, "r", made.PNEUMONIA, laterality=codes.BILATERAL)
    assert finding_sentence(finding).startswith("Pneumothorax: present on both sides (")


def segmentation_empty(folder: Path) -> ResultRequest:
    path = sources.source(folder)
    return made.diseases((path,), made.with_pneumothorax_not_outlined(made.image(sources.uid())))


@pytest.mark.parametrize("profile", PROFILES)
def test_a_disease_without_a_region_is_answered(tmp_path: Path, profile: Profile) -> None:
    request = segmentation_empty(tmp_path)
    seg, sr = encode(request, profile=profile)
    assert len(read(seg).SegmentSequence) == 3
    group = group_of(read(sr), "Pneumothorax outline")
    assert answers(group, vocabulary.OUTLINE.value) == ["272519000"]
    assert answers(group, "111065") == ["111222"]
    assert answers(group, "121071") == ["36118008"]
    line = "Pneumothorax: no region was outlined (less than 0.50% of the picture is above 0.7)"
    assert line in summary(request)["text"]
    assert [item.TextValue for item in named(group, "121106")] == [f"{line}."]
    (image,) = summary(request)["images"]
    assert [item["label"] for item in image["not_outlined"]] == ["Pneumothorax"]
    assert study_status(request) == vocabulary.SUCCEEDED


def test_nothing_to_outline_is_no_failure_and_a_missing_classifier_is(tmp_path: Path) -> None:
    path = sources.source(tmp_path)
    rightly, wrongly = (
        made.diseases((path,), made.with_outline_not_computed(made.image(sources.uid()), reason))
        for reason in (NotComputedReason.NOT_FOUND_BY_CLASSIFIER, NotComputedReason.CLASSIFIER_NOT_RUN)
    )
    assert study_status(rightly) == vocabulary.SUCCEEDED
    assert study_status(wrongly) == vocabulary.PARTIALLY_SUCCEEDED
    text = "\n".join(study_lines(rightly, read_sources((path,))))
    assert "Pneumothorax segmentation not computed: Nothing to outline, absent by the classifier." in text
    sr = report_of(encode(rightly, profile=OHIF))
    assert "not-found-by-classifier" in answers(sr, "REASON")


def test_preflight_refuses_the_outline_of_a_disease_that_was_judged_absent(tmp_path: Path) -> None:
    request = outlined(tmp_path)
    image = request.images[0]
    absent = tuple(
        replace(f, probability=0.1, laterality=None) if f.code == codes.PNEUMOTHORAX else f for f in image.findings
    )
    with pytest.raises(PreflightFailed, match="judged absent"):
        encode(replace(request, images=(replace(image, findings=absent),)), profile=OHIF)


def test_preflight_refuses_a_category_that_it_does_not_know(tmp_path: Path) -> None:
    request = outlined(tmp_path)
    odd = replace(request.images[0].segments[-1], property_category=Code("85756007", "SCT", "Tissue"))
    with pytest.raises(PreflightFailed, match="unknown category"):
        encode(_with_last(request, odd), profile=OHIF)


def test_preflight_compares_the_codes_of_a_segment_with_what_was_found(tmp_path: Path) -> None:
    request = outlined(tmp_path)
    lungs, seg, sr = encode(request, profile=OHIF)
    ds = read(seg)
    kind = ds.SegmentSequence[-1].SegmentedPropertyTypeCodeSequence[0]
    kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue = codes.RIGHT.value
    buffer = BytesIO()
    ds.save_as(buffer)
    with pytest.raises(PreflightFailed, match="segment 1 has other codes than 'pneumothorax'"):
        preflight((lungs, replace(seg, content=buffer.getvalue()), sr), request, OHIF)


def _with_last(request: ResultRequest, segment: Segment) -> ResultRequest:
    image = request.images[0]
    return replace(request, images=(replace(image, segments=(*image.segments[:-1], segment)),))


def test_thresholds_of_a_site_show_in_the_identity_everywhere(tmp_path: Path) -> None:
    plain = outlined(tmp_path)
    mine = made.with_site_thresholds(plain)
    changed, shipped = made.SITE_OUTLINE.digest, made.OUTLINE.digest
    _, seg, sr = (read(result) for result in encode(mine, profile=OHIF))
    parameters = str(seg.SegmentSequence[-1].SegmentationAlgorithmIdentificationSequence[0].AlgorithmParameters)
    assert changed in parameters and shipped in parameters
    numbers = {str(item.get("DeviceSerialNumber")) for item in seg.ContributingEquipmentSequence}
    assert changed in numbers and shipped not in numbers
    group = groups_of(sr, "Pneumothorax")[1]
    assert {item.TextValue for item in named(group, "111002")} >= {
        f"bundle and site thresholds sha256 {changed}",
        f"bundle sha256 {shipped}",
    }
    listed = {one["name"]: (one["digest"], one["shipped_digest"]) for one in summary(mine)["algorithms"]}
    assert listed["pneumothorax-segmentation"] == (changed, shipped)
    assert listed["lungs-heart"] == (made.LUNGS.digest, made.LUNGS.digest)
    before = {r.sop_instance_uid for r in encode(plain, profile=OHIF)}
    assert before.isdisjoint(r.sop_instance_uid for r in encode(mine, profile=OHIF))


def test_the_picture_shows_the_disease_in_its_own_colour(tmp_path: Path) -> None:
    image = made.with_pneumothorax(made.image("1.2.3", 240, 200), codes.LEFT)
    overlay_png(Radiograph(np.full((240, 200), 0.4, np.float32)), image, tmp_path / "overlay.png")
    with Image.open(tmp_path / "overlay.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(maxcolors=1 << 24)}
    assert {segment.colour_rgb for segment in image.segments} <= colours
