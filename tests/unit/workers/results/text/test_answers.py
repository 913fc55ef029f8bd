"""Every study is answered, also where nothing was computed."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.values.codes import Code
from node.delivery.profiles import BUILT_IN, OHIF, STRICT
from node.reasons import Reason
from tests.support.data import sources
from tests.support.results import result_requests as made
from tests.support.results.encoded import answers, named, read, report_of
from workers.results.encode import encode
from workers.results.request import DeclinedImage
from workers.results.text import vocabulary


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.LATERAL_VIEW, vocabulary.NOT_ATTEMPTED),
        (Reason.ANALYSIS_FAILED, vocabulary.FAILED),
        (Reason.RESULT_WITHHELD, vocabulary.FAILED),
        (Reason.UNDECODABLE, vocabulary.FAILED),
    ],
)
def test_a_study_that_was_only_declined_is_answered(tmp_path: Path, reason: Reason, status: Code) -> None:
    path = sources.source(tmp_path)
    request = made.request((path,), (), DeclinedImage(sources.uid(), reason, "View Position is LL."))
    (result,) = encode(request, profile=OHIF)
    sr = read(result)
    assert set(answers(sr, vocabulary.SUMMARY_OF_ANALYSES.value)) == {status.value}
    assert answers(sr, vocabulary.NOT_COMPUTED_REASON.value) == [reason.value]
    assert sr.PatientID == "PLANTED-ID"
    assert "DeviceUID" in sr.ContributingEquipmentSequence[0]


def test_a_study_that_the_gate_refused_is_answered(tmp_path: Path) -> None:
    request = made.request((sources.source(tmp_path),), (made.refused(sources.uid()),))
    (result,) = encode(request, profile=OHIF)
    sr = read(result)
    assert answers(sr, vocabulary.GATE.value) == [vocabulary.GATE_REFUSED.value]
    assert answers(sr, vocabulary.NOT_COMPUTED_REASON.value) == ["not-a-frontal-chest-radiograph"]


def test_a_declined_image_beside_an_analysed_one_is_named(tmp_path: Path) -> None:
    paths = tuple(sources.source(tmp_path, number=n) for n in (1, 2))
    declined = DeclinedImage(sources.uid(2), Reason.LATERAL_VIEW, "View Position is LL.")
    sr = report_of(encode(made.request(paths, (made.image(sources.uid(1)),), declined), profile=OHIF))
    assert answers(sr, vocabulary.SUMMARY_OF_ANALYSES.value)[-1] == vocabulary.PARTIALLY_SUCCEEDED.value
    lines = [i.TextValue for i in named(sr, vocabulary.SUMMARY.value)]
    assert "Series 2 image 1: not analysed: View is not frontal." in lines


@pytest.mark.parametrize("content", [b"", b"not DICOM" * 50])
def test_a_study_without_a_readable_object_is_answered(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.dcm"
    path.write_bytes(content)
    request = made.request((path,), (), DeclinedImage("1.9.9", Reason.MALFORMED, "No DICOM file."))
    (result,) = encode(request, profile=STRICT)
    sr = read(result)
    assert sr.StudyInstanceUID == sources.STUDY
    assert not sr.PatientID
    assert "CurrentRequestedProcedureEvidenceSequence" not in sr
    assert "1.9.9" in named(sr, vocabulary.COMMENT.value)[0].TextValue


def test_a_truncated_header_still_names_the_patient(tmp_path: Path) -> None:
    whole = sources.source(tmp_path)
    path = tmp_path / "truncated.dcm"
    path.write_bytes(whole.read_bytes()[:900])
    request = made.request((path,), (), DeclinedImage(sources.uid(), Reason.TRUNCATED, "Ends in the header."))
    assert report_of(encode(request, profile=OHIF)).PatientID == "PLANTED-ID"


def test_of_a_lost_file_no_picture_is_made(tmp_path: Path) -> None:
    path = sources.source(tmp_path)
    request = made.request((path,), (made.image(sources.uid()),))
    path.unlink()
    with pytest.raises(FileNotFoundError):  # a fault of the machine: nothing follows for the image
        encode(request, profile=BUILT_IN["secondary-capture"])


def test_every_reason_has_a_meaning() -> None:
    assert {reason for reason in Reason if reason not in vocabulary.REASON_MEANINGS} == set()
    assert all(len(meaning) <= 64 for meaning in vocabulary.REASON_MEANINGS.values())


def test_the_procedure_is_of_the_chest_only_where_the_gate_saw_one(tmp_path: Path) -> None:
    path = sources.source(tmp_path)
    for images, code in (((made.image(sources.uid()),), "399208008"), ((made.refused(sources.uid()),), "168537006")):
        report = report_of(encode(made.request((path,), images), profile=OHIF))
        assert answers(report, "121058") == [code]
