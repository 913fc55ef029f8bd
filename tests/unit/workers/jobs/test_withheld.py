"""A result that fails its preflight: it is put aside and not sent, the study is answered, and the operator is told."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pydicom import dcmread
from structlog.testing import capture_logs

from models.values import codes
from models.values.codes import Code
from models.values.findings import Finding, HeatMap
from node.db import audit, report, studies
from node.db.audit import Action
from node.db.states import DeliveryState, JobState
from node.dicom.kinds import ResultKind
from node.reasons import Reason
from tests.support.results.encoded import answers
from tests.support.results.jobs import Outliner, Stub, analysed
from tests.support.rows import DECISION, reopen_failed
from tests.support.stand_ins import Clock
from workers.jobs.analysis import analyse_job

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Broken(Stub):
    category = Code("85756007", "SCT", "Tissue")


class Restless(Stub):
    """Gives a heat map of another grid, of which no Parametric Map can be made."""

    def loaded(self, pipeline, chosen):
        outliner = super().loaded(pipeline, chosen)

        def analyse(radiograph, **values):
            image = Outliner.analyse(outliner, radiograph, **values)
            finding = Finding("PLANTED", codes.PNEUMOTHORAX, 0.9, 0.5, "", outliner.bundle)
            heat_map = HeatMap("PLANTED", outliner.bundle, np.zeros((3, 3), np.float32))
            return replace(image, findings=(finding,), heat_maps=(heat_map,))

        outliner.analyse = analyse
        return outliner


def test_an_object_that_cannot_be_made_costs_its_own_profile_only(database, tmp_path):
    with capture_logs() as logs:
        runtime, job_id = analysed(database, tmp_path, Restless, pacs="ohif", research="complete")
    with database.read() as tx:
        lines = report.result_lines(tx, job_id)
        (event,) = [event for event in audit.events(tx) if event.action == Action.RESULT_WITHHELD]
        assert report.job(tx, job_id).state is JobState.DELIVERING
        assert report.status(tx).withheld == 1
    assert sorted((line.destination, line.kind) for line in lines) == [
        ("pacs", "SEG"),
        ("pacs", "SR"),
        ("research", "DOC"),
        ("research", "SR"),
    ]
    (answer,) = [line for line in lines if (line.destination, line.kind) == ("research", "SR")]
    assert Reason.RESULT_WITHHELD in answers(dcmread(runtime.spool.result_path(answer.sha256)), "REASON")
    (alert,) = [entry for entry in logs if entry["event"] == Action.RESULT_WITHHELD]
    assert (alert["log_level"], alert["profile"]) == ("error", "complete")
    assert "ValueError at workers.results.builders.parametric_map:" in alert["faults"][0]
    assert "ValueError at workers.results.builders.parametric_map:" in event.detail["why"]
    assert "PLANTED" not in json.dumps(logs, default=str) + json.dumps(event.detail)


class Poison(Stub):
    """Cannot be run on anything."""

    def loaded(self, pipeline, chosen):
        raise ValueError("PLANTED")

    def choose(self, pipeline, names):
        raise ValueError("PLANTED")


def test_a_job_that_always_fails_of_itself_is_answered_and_listed_and_brought_back(database, tmp_path):
    runtime, job_id = analysed(database, tmp_path, Poison)
    for hours in range(1, runtime.settings.analysis.maximum_attempts + 1):
        database.clock = Clock(NOW + timedelta(hours=hours))
        assert analyse_job(runtime, job_id)
    with database.read() as tx:
        assert report.job(tx, job_id).state is JobState.DELIVERING
        assert report.status(tx).answered_as_failed == 1
        (line,) = report.study_lines(tx, limit=5, failed=True)
    with database.write() as tx:
        assert reopen_failed(tx) == 1
        assert reopen_failed(tx) == 0
    with database.read() as tx:
        assert report.status(tx).answered_as_failed == 0
        assert report.study_lines(tx, limit=5)[0].revision == line.revision + 1


@pytest.fixture
def withheld(database, tmp_path):
    with capture_logs() as logs:
        runtime, job_id = analysed(database, tmp_path, Broken)
    return runtime, job_id, logs


def test_a_result_without_fault_is_published(database, tmp_path):
    _, job_id = analysed(database, tmp_path, Stub)
    with database.read() as tx:
        assert [line.kind for line in report.result_lines(tx, job_id)] == ["SEG", "SR"]
        assert report.status(tx).withheld == 0


def test_a_faulty_result_is_not_sent_and_the_study_is_answered_with_the_reason(withheld):
    runtime, job_id, _ = withheld
    with runtime.database.read() as tx:
        (line,) = report.result_lines(tx, job_id)
        assert report.job(tx, job_id).state is JobState.DELIVERING
    assert (line.kind, line.state) == (ResultKind.SR, DeliveryState.PENDING)
    sr = dcmread(runtime.spool.result_path(line.sha256))
    assert Reason.RESULT_WITHHELD in answers(sr, "REASON")
    assert "111224" in answers(sr, "111065")  # Summary of Analyses: Failed


def test_the_faulty_object_lies_in_quarantine_with_the_reason(withheld):
    runtime, _, _ = withheld
    (kept,) = (runtime.spool.root / "quarantine").glob("*.dcm")
    assert dcmread(kept).Modality == "SEG"
    record = json.loads(kept.with_suffix(".json").read_text())
    assert record["reason"] == Reason.RESULT_WITHHELD
    assert "unknown category" in record["detail"]


def test_the_operator_is_told_in_log_audit_and_status(withheld):
    runtime, job_id, logs = withheld
    (alert,) = [entry for entry in logs if entry["event"] == Action.RESULT_WITHHELD]
    assert alert["log_level"] == "error"
    with runtime.database.read() as tx:
        (event,) = [event for event in audit.events(tx) if event.action == Action.RESULT_WITHHELD]
        assert event.job_id == job_id
        assert "unknown category" in event.detail["why"]
        assert report.status(tx).withheld == 1
    patient = dcmread(runtime.settings.home / "source.dcm").PatientID
    assert patient not in json.dumps(logs, default=str) + json.dumps(event.detail)


def test_a_new_revision_takes_the_alert_back(withheld):
    runtime, _, _ = withheld
    with runtime.database.write() as tx:
        (line,) = report.study_lines(tx, limit=1)
        studies.reopen(tx, line.study_instance_uid)
        (study,) = studies.open_studies(tx)
        studies.complete(tx, study.id, reason="rerun", decision=DECISION)
    with runtime.database.read() as tx:
        assert report.status(tx).withheld == 0
