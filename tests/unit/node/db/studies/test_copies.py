"""Copies of an image that differ, and two senders of one study, on each kind of database."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import select

from node.db import jobs, report, studies
from node.db.engine import Database
from node.db.states import InstanceState
from node.db.studies.received import ReceivedInstance
from node.db.tables import InstanceRow
from node.reasons import Reason
from node.spool.incoming import AssociationInfo, AssociationOutcome
from tests.support.rows import DECISION, arrive
from tests.support.stand_ins import NOW

OTHER = ReceivedInstance(
    arrival="a9/000001",
    association_id="a9",
    received_at=NOW,
    digest="9" * 64,
    size_bytes=1,
    state=InstanceState.ACCEPTED,
    study_instance_uid="1.2.3",
    sop_instance_uid="1.2.3.1",
    opener="PACS",
)


def sent_by(tx, title: str) -> None:
    """Record the association of `OTHER`."""
    info = AssociationInfo("a9", title, "HILUM", "127.0.0.1", NOW)
    studies.record_association(tx, info, AssociationOutcome.RELEASED)


def complete(tx) -> str:
    (study,) = studies.open_studies(tx)
    return studies.complete(tx, study.id, reason="released", decision=DECISION)


def counting(tx, uid="1.2.3") -> set[str]:
    (line,) = report.study_lines(tx, limit=1, study_instance_uid=uid)
    return {instance.digest[-1] for instance in studies.instances_of(tx, line.id, revision=line.revision)}


def test_the_newest_copies_count_once_that_is_asked_for(any_database: Database):
    with any_database.write() as tx:
        arrive(tx, 1)
        complete(tx)
        assert [arrive(tx, number, sop="1.2.3.1") for number in (2, 3)] == [InstanceState.CONFLICT] * 2
        assert (counting(tx), report.status(tx).conflicts) == ({"1"}, 1)
    with any_database.write() as tx:
        assert studies.reopen(tx, "1.2.3") == 2
        assert (counting(tx), report.status(tx).conflicts) == ({"1"}, 0)
    with any_database.write() as tx:
        assert studies.reopen(tx, "1.2.3", latest=True) == 2
        assert (counting(tx), report.status(tx).conflicts) == ({"3"}, 0)
    with any_database.write() as tx:
        studies.reopen(tx, "1.2.3", latest=True)
        assert counting(tx) == {"3"}
        assert arrive(tx, 1, digest=f"{1:064d}", sop="1.2.3.1") is None


def test_a_newer_copy_that_is_no_use_is_no_question(any_database: Database):
    with any_database.write() as tx:
        arrive(tx, 1)
        sent_by(tx, "ROUTER")
        bad = replace(OTHER, state=InstanceState.QUARANTINED, reason=Reason.TRUNCATED, opener=None)
        assert studies.record_instance(tx, bad) is InstanceState.CONFLICT
        assert report.status(tx).conflicts == 0
        studies.reopen(tx, "1.2.3", latest=True)
        assert counting(tx) == {"1"}


def test_two_openers_of_one_study_are_two_studies(any_database: Database):
    with any_database.write() as tx:
        arrive(tx, 1)
        sent_by(tx, "PACS")
        assert studies.record_instance(tx, OTHER) is InstanceState.ACCEPTED
        again = replace(OTHER, arrival="a9/000002", digest="8" * 64)
        assert studies.record_instance(tx, again) is InstanceState.CONFLICT
        row = tx.scalars(select(InstanceRow).where(InstanceRow.digest == "8" * 64)).one()
        assert row.reason == Reason.UID_CONFLICT
        assert [opener.calling_ae_title for opener in studies.openers(tx, "1.2.3")] == ["ROUTER", "PACS"]
        ids = [
            studies.complete(tx, study.id, reason="released", decision=DECISION) for study in studies.open_studies(tx)
        ]
        tx.flush()
        assert sorted(jobs.recorded(tx, str(job_id))[0].opener for job_id in ids) == ["", "PACS"]
