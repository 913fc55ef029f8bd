"""A study whose images name different patients: answered, nothing computed, and filed with no wrong patient."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread
from structlog.testing import capture_logs

from models import phantom
from node.clock import utc_now
from node.db import audit, report
from node.db.audit import Action
from node.db.states import JobState
from node.delivery.profiles import OHIF, Profile
from node.reasons import Reason
from node.settings import AnalysisSettings
from tests.support.data import sources
from tests.support.results.encoded import answers, items, read, report_of
from tests.support.results.jobs import Stub, analysed
from workers.pipelines import run as pipelines
from workers.pipelines.chest.pipeline import PIPELINE as CHEST
from workers.pipelines.run import Analysis, Asked
from workers.pipelines.study import Study, read_image
from workers.results.sources.patients import SEPARATED, of_first_patient
from workers.results.text.languages.known import LANGUAGES


def image(folder: Path, *, seed: int, patient: str, name: str = "Phantom^Hilum") -> Path:
    """Write one image of the study 1.2.3."""
    path = folder / f"{seed}.dcm"
    drawn = phantom.generate(seed, rows=288, columns=260)
    ds = phantom.dataset(drawn, study_instance_uid="1.2.3", patient_id=patient, patient_name=name)
    ds.save_as(path, enforce_file_format=True)
    return path


def run(paths: list[Path], profile: Profile = OHIF, declined: Reason | None = None) -> Analysis:
    """Analyse the images of a study as in a worker, in the order given; `declined` is the first one's reason."""
    images = [read_image(path, digest=str(number) * 64) for number, path in enumerate(paths)]
    study = Study("1.2.3", (replace(images[0], declined=declined), *images[1:]))
    return pipelines.run(CHEST, Stub(AnalysisSettings(), "cpu"), study, Asked(created_at=utc_now(), profiles=[profile]))


def separated(*paths: Path) -> tuple[bool, ...]:
    """Say of each file whether results may speak of it."""
    return of_first_patient([read_image(path, digest="0" * 64).source for path in paths])


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """Return two images of one study; the one that came first has the higher UID, and names PATIENT-A."""
    paths = [image(tmp_path, seed=seed, patient="") for seed in (4, 5)]
    paths.sort(key=lambda path: str(dcmread(path).SOPInstanceUID), reverse=True)
    for path, patient in zip(paths, ("PATIENT-A", "PATIENT-B"), strict=True):
        ds = dcmread(path)
        ds.PatientID = patient
        ds.save_as(path)
    return paths


@pytest.mark.parametrize("order", [1, -1], ids=["first", "second"])
def test_the_only_answer_is_a_report_of_the_patient_who_came_first(two, order):
    own, other = two[::order]
    ((_, result),) = run([own, other]).results
    sr = read(result)
    assert sr.PatientID == dcmread(own).PatientID
    assert answers(sr, "REASON") == [Reason.DIFFERENT_PATIENTS]
    assert set(answers(sr, "111065")) == {"111225"}  # Summary of Analyses: Not Attempted
    foreign = str(dcmread(other).SOPInstanceUID)
    assert foreign.encode() not in result.content
    (evidence,) = sr.CurrentRequestedProcedureEvidenceSequence
    (series,) = evidence.ReferencedSeriesSequence
    assert [i.ReferencedSOPInstanceUID for i in series.ReferencedSOPSequence] == [dcmread(own).SOPInstanceUID]


def test_the_reason_is_said_where_the_first_patients_image_was_declined_for_another(two):
    ((_, result),) = run(two, declined=Reason.LATERAL_VIEW).results
    assert answers(read(result), "REASON") == [Reason.DIFFERENT_PATIENTS]


def test_every_kind_of_result_keeps_to_the_first_patient(two):
    everything = Profile(name="everything", objects=["SEG", "SR", "KO", "SC", "PR", "PM", "DOC"])
    results = [result for _, result in run(two, everything).results]
    assert {result.kind for result in results} == {"SR", "DOC"}
    assert {read(result).PatientID for result in results} == {"PATIENT-A"}
    assert all(str(dcmread(two[1]).SOPInstanceUID).encode() not in result.content for result in results)


@pytest.mark.parametrize("tag", LANGUAGES)
def test_the_reason_and_what_it_means_are_said_in_every_language(two, tag):
    words = LANGUAGES[tag]
    results = [result for _, result in run(two, OHIF.model_copy(update={"name": tag, "language": tag})).results]
    said = "\n".join(str(item.TextValue) for item in items(report_of(results)) if item.ValueType == "TEXT").lower()
    assert words.term("Images of the study name different patients").lower() in said
    assert words.detail(SEPARATED).lower() in said and words.detail(SEPARATED)


def test_one_patient_spelt_in_two_ways_is_analysed(tmp_path):
    paths = [
        image(tmp_path, seed=4, patient="PATIENT-A", name="Planted^Eve"),
        image(tmp_path, seed=5, patient="PATIENT-A ", name="PLANTED^EVE^^DR"),
    ]
    analysis = run(paths)
    assert [result.kind for _, result in analysis.results] == ["SEG", "SEG", "SR"]
    assert not analysis.excluded


def test_an_image_that_names_nobody_is_not_taken_for_one_of_the_other_patient(tmp_path):
    paths = [image(tmp_path, seed=seed, patient=patient) for seed, patient in ((4, "PATIENT-A"), (5, ""))]
    assert separated(*paths) == (True, False)


def test_a_study_without_any_patient_id_is_of_one_patient(tmp_path):
    paths = [image(tmp_path, seed=seed, patient="") for seed in (4, 5)]
    assert separated(*paths) == (True, True)


def test_a_file_without_a_readable_header_separates_nobody_and_is_nobodys(tmp_path):
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"not DICOM" * 50)
    mine, other = sources.source(tmp_path), sources.source(tmp_path, number=2, PatientID="OTHER")
    assert separated(broken, mine) == (True, True)
    assert separated(broken, mine, other) == (False, True, False)


def test_the_operator_is_told_in_log_and_audit_without_a_word_about_the_patients(database, two, tmp_path):
    with capture_logs() as logs:
        runtime, job_id = analysed(database, tmp_path, Stub, two)
    (alert,) = [entry for entry in logs if entry["event"] == Action.STUDY_DIFFERENT_PATIENTS]
    assert (alert["log_level"], alert["images_left_out"]) == ("error", 1)
    with runtime.database.read() as tx:
        (event,) = [event for event in audit.events(tx) if event.action == Action.STUDY_DIFFERENT_PATIENTS]
        assert report.job(tx, job_id).state is JobState.DELIVERING
        assert [line.kind for line in report.result_lines(tx, job_id)] == ["SR"]
        summary = report.job(tx, job_id).summary
    assert (event.job_id, event.detail["left_out"]) == (job_id, [str(dcmread(two[1]).SOPInstanceUID)])
    assert "PATIENT-" not in json.dumps([logs, event.detail, summary], default=str)
