"""A result that fails its preflight: it is put aside and not sent, the study is answered, and the operator is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from structlog.testing import capture_logs

from models import phantom
from models.values import codes
from models.values.codes import Code
from models.values.findings import Finding, Gate, HeatMap, ImageFindings, Segment
from node.db import audit, report, studies
from node.db.audit import Action
from node.db.received import ReceivedInstance
from node.db.states import DeliveryState, InstanceState, JobState
from node.dicom.header import read_header
from node.dicom.kinds import ResultKind
from node.errors import BrokerUnavailable
from node.reasons import Reason
from node.settings import Settings
from node.spool.incoming import AssociationInfo, AssociationOutcome
from node.spool.store import Spool
from tests.support.results.encoded import answers
from tests.support.rows import DECISION
from tests.support.stand_ins import Clock
from workers.jobs.analysis import analyse_job
from workers.jobs.runtime import Networks, Runtime

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Outliner:
    """Finds one structure in every image, of the category that it was given."""

    def __init__(self, bundle, category):
        self.bundle, self.category = bundle, category

    def analyse(self, radiograph, *, sop_instance_uid, **_values):
        mask = np.zeros(radiograph.orientation.to_source(radiograph.pixels).shape, np.bool_)
        mask[20:60, 30:70] = True
        segment = Segment("heart", codes.HEART, self.category, None, (235, 95, 85), mask, self.bundle)
        return ImageFindings(sop_instance_uid, Gate(None, "stand-in"), segments=(segment,))


class Stub(Networks):
    """The shipped bundles' identities, with a stand-in for what they compute."""

    category = codes.ANATOMICAL_STRUCTURE

    def analyser(self, chosen):
        return Outliner(chosen[0].identity, self.category)


class Broken(Stub):
    category = Code("85756007", "SCT", "Tissue")


class Restless(Stub):
    """Gives a heat map of another grid, of which no Parametric Map can be made."""

    def analyser(self, chosen):
        outliner = super().analyser(chosen)

        def analyse(radiograph, **values):
            image = Outliner.analyse(outliner, radiograph, **values)
            finding = Finding("PLANTED", codes.PNEUMOTHORAX, 0.9, 0.5, "", outliner.bundle)
            heat_map = HeatMap("PLANTED", outliner.bundle, np.zeros((3, 3), np.float32))
            return replace(image, findings=(finding,), heat_maps=(heat_map,))

        outliner.analyse = analyse
        return outliner


class NoBroker:
    def deliver(self, job_id, *, priority):
        raise BrokerUnavailable("none")


def analysed(
    database,
    folder: Path,
    networks: type[Networks],
    sources: Sequence[Path] = (),
    *,
    lost: bool = False,
    **profiles: str,
) -> tuple[Runtime, str]:
    """Analyse images of one study, or a phantom where none are given, for destinations with these profiles.

    Where they are `lost`, their files are gone when the worker comes to them.

    Returns the job's id beside what it ran in.
    """
    profiles = profiles or {"pacs": "ohif"}
    if not sources:
        sources = [folder / "source.dcm"]
        phantom.write(sources[0], phantom.generate(4, rows=160, columns=140))
    peer = {"ae_title": "PACS", "host": "127.0.0.1", "port": 104}
    settings = Settings(
        home=folder, destinations={name: {**peer, "profile": profile} for name, profile in profiles.items()}
    )
    spool = Spool.create(folder / "spool")
    database.clock = lambda: NOW
    runtime = Runtime(settings, database, spool, NoBroker(), networks(settings.analysis, "cpu"))
    with database.write() as tx:
        info = AssociationInfo("a", "ROUTER", "HILUM", "127.0.0.1", NOW)
        studies.record_association(tx, info, AssociationOutcome.RELEASED)
        for number, source in enumerate(sources, start=1):
            studies.record_instance(tx, _received(number, source, spool))
        (study,) = studies.open_studies(tx)
        decision = replace(DECISION, destinations=list(profiles))
        job_id = studies.complete(tx, study.id, reason="released", decision=decision)
    if lost:
        for kept in (folder / "spool" / "objects").rglob("*.dcm"):
            kept.unlink()
    assert analyse_job(runtime, job_id)
    return runtime, job_id


def _received(number: int, source: Path, spool: Spool) -> ReceivedInstance:
    header, kept = read_header(source), spool.keep(source)
    return ReceivedInstance(
        arrival=f"a/{number}",
        association_id="a",
        received_at=NOW,
        digest=kept.sha256,
        size_bytes=kept.size,
        state=InstanceState.ACCEPTED,
        reason=None,
        study_instance_uid=header.study_instance_uid,
        sop_instance_uid=header.sop_instance_uid,
        sop_class_uid=header.sop_class_uid,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
    )


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


def test_a_lost_file_is_no_fault_of_the_result_and_the_job_goes_back(database, tmp_path):
    _, job_id = analysed(database, tmp_path, Stub, lost=True)
    with database.read() as tx:
        assert report.job(tx, job_id).state is JobState.QUEUED
        assert report.status(tx).withheld == 0


def test_a_study_that_goes_unanswered_after_all_attempts_is_a_loud_failure(database, tmp_path):
    runtime, job_id = analysed(database, tmp_path, Stub, lost=True)
    with capture_logs() as logs:
        for hours in range(1, 2 * runtime.settings.analysis.maximum_attempts):
            database.clock = Clock(NOW + timedelta(hours=hours))
            assert analyse_job(runtime, job_id)
    with database.read() as tx:
        assert report.job(tx, job_id).state is JobState.FAILED
    loud = [entry for entry in logs if entry["log_level"] == "critical"]
    assert [entry["event"] for entry in loud] == ["job.failed"]
    assert "hilum rerun --dead" in loud[0]["why"]


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
