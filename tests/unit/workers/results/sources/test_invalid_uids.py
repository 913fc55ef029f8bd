"""Images whose UIDs are not valid: answered in words, and referred to by nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import config
from pydicom.dataset import Dataset

from node.delivery.profiles import OHIF, STRICT, Profile
from node.dicom.kinds import ResultKind
from node.reasons import Reason
from tests.support.data import sources
from tests.support.results import result_requests as made
from tests.support.results.encoded import PROFILES, answers, items, measurement_groups, named, read, report_of
from workers.results.encode import encode
from workers.results.preflight import PreflightFailed, preflight
from workers.results.request import DeclinedImage
from workers.results.text import vocabulary
from workers.results.text.summary import summary

SAID = "Image 1 of the study; it cannot be referenced because its UID is not valid."


def _texts(sr: Dataset, code: str) -> list[str]:
    return [str(item.TextValue) for item in named(sr, code)]


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_refers_to_an_image_with_an_invalid_uid(tmp_path: Path, profile: Profile) -> None:
    path = sources.source(tmp_path)
    request = made.request((path,), (made.image(sources.with_invalid_uids(path)),))
    results = encode(request, profile=profile)
    assert [r.kind for r in results] == [ResultKind.SR]
    assert results == encode(request, profile=profile)
    sr = report_of(results)
    assert [i for i in items(sr) if i.ValueType == "IMAGE"] == []
    assert named(sr, vocabulary.IMAGE_LIBRARY.value) == []
    assert "CurrentRequestedProcedureEvidenceSequence" not in sr
    assert SAID in _texts(sr, vocabulary.COMMENT.value)
    assert SAID in _texts(sr, vocabulary.SUMMARY.value)
    assert SAID in summary(request)["text"]


def test_the_report_says_that_segments_were_not_stored_and_keeps_their_areas(tmp_path: Path) -> None:
    path = sources.source(tmp_path)
    request = made.request((path,), (made.image(sources.with_invalid_uids(path)),))
    sr = report_of(encode(request, profile=STRICT))
    (said,) = [text for text in _texts(sr, vocabulary.COMMENT.value) if "segmentation" in text]
    assert said.startswith("Found but not stored as a segmentation")
    assert said.endswith("Right lung, Left lung, Heart.")
    groups = [named(group, "112039")[0].TextValue for group in measurement_groups(sr)]
    assert "Right lung area, series 1 image 1" in groups
    assert "Right lung, series 1 image 1" not in groups


def test_a_declined_image_with_an_invalid_uid_keeps_its_coded_reason(tmp_path: Path) -> None:
    path = sources.source(tmp_path)
    declined = DeclinedImage(sources.with_invalid_uids(path), Reason.NOT_THE_CHEST, "body part is TEETH")
    sr = report_of(encode(made.request((path,), (), declined), profile=OHIF))
    assert answers(sr, vocabulary.NOT_COMPUTED_REASON.value) == [Reason.NOT_THE_CHEST.value]
    comments = ["Not analysed: Body part is not the chest. Body part is TEETH.", SAID]
    assert _texts(sr, vocabulary.COMMENT.value) == comments


def test_the_other_images_of_the_study_are_referred_to(tmp_path: Path) -> None:
    paths = tuple(sources.source(tmp_path, number=n) for n in (1, 2))
    invalid = sources.with_invalid_uids(paths[1], number=2)
    results = encode(made.request(paths, (made.image(sources.uid(1)), made.image(invalid))), profile=OHIF)
    assert [r.kind for r in results] == [ResultKind.SEG, ResultKind.SR]
    assert all(invalid.encode() not in r.content for r in results)
    assert sources.uid(1).encode() in results[-1].content
    sr = report_of(results)
    assert f"Series 2 image 1: {SAID.replace('1', '2')}" in _texts(sr, vocabulary.SUMMARY.value)


def test_an_invalid_series_uid_is_referred_to_by_nothing_either(tmp_path: Path) -> None:
    path = sources.source(tmp_path)
    valid, invalid = f"{sources.STUDY}.2.1", f"{sources.INVALID_STUDY}.2.1"
    path.write_bytes(path.read_bytes().replace(valid.encode(), invalid.encode()))
    (result,) = encode(made.request((path,), (made.image(sources.uid()),)), profile=OHIF)
    assert invalid.encode() not in result.content


def test_an_invalid_study_uid_is_kept_so_that_the_report_is_filed_with_its_study(tmp_path: Path) -> None:
    path = sources.source(tmp_path)
    image = made.image(sources.with_invalid_uids(path, study=True))
    request = replace(made.request((path,), (image,)), study_instance_uid=sources.INVALID_STUDY)
    (result,) = encode(request, profile=STRICT)
    with config.disable_value_validation():
        assert read(result).StudyInstanceUID == sources.INVALID_STUDY


def test_an_invalid_frame_of_reference_is_not_repeated(tmp_path: Path) -> None:
    path = sources.source(tmp_path, FrameOfReferenceUID="1.2.33")
    path.write_bytes(path.read_bytes().replace(b"1.2.33", b"1.2.03"))
    seg = read(encode(made.request((path,), (made.image(sources.uid()),)), profile=OHIF)[0])
    assert "FrameOfReferenceUID" not in seg


def test_preflight_refuses_a_reference_to_an_invalid_uid(tmp_path: Path) -> None:
    path = sources.source(tmp_path)
    request = made.request((path,), (made.image(sources.uid()),))
    seg, sr = encode(request, profile=OHIF)
    invalid = sources.with_invalid_uids(path)
    of_invalid = made.request((path,), (made.image(invalid),))
    content = seg.content.replace(sources.uid().encode(), invalid.encode())
    with config.disable_value_validation(), pytest.raises(PreflightFailed, match="not valid"):
        preflight((replace(seg, content=content), sr), of_invalid, OHIF)
    (only,) = encode(of_invalid, profile=OHIF)
    with pytest.raises(PreflightFailed, match="that of another result"):
        preflight((only, only), of_invalid, OHIF)
