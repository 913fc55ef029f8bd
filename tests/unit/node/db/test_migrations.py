"""Databases of earlier versions: nothing is lost when they are brought up to date."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from node.db import audit, deliveries, jobs, report, studies
from node.db.engine import Database, _alembic
from node.db.states import DeliveryState, JobState, StudyState
from node.db.tables import Base
from node.reasons import Reason
from node.spool.store import Spool
from tests.support.paths import FIXTURES

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = {
    "studies": "(id, study_instance_uid, state, revision, opened_at, last_arrival_at)"
    " VALUES (1,'1','complete',1,:t,:t)",
    "jobs": "(id, study_id, revision, state, rule, priority, destinations, created_at, due_at, attempts, timings)"
    " VALUES ('j',1,1,'delivering','r','STAT','[]',:t,:t,0,'{}')",
    "results": "(id, job_id, kind, profile, sop_class_uid, sop_instance_uid, series_instance_uid, sha256, path,"
    " size_bytes, created_at) VALUES (1,'j','SR','ohif','1','2','3','d','p',1,:t)",
    "deliveries": "(id, job_id, result_id, destination, state, created_at, due_at, attempts, retry_until)"
    " VALUES (1,'j',1,'pacs','sending',:t,:t,2,:t)",
}

STUDY = "1.2.826.0.1.3680043.8.498."
REFUSED = {
    "a row of the audit log is edited": "UPDATE audit_events SET actor = 'nobody' WHERE sequence = 2",
    "a row of the audit log is deleted": "DELETE FROM audit_events WHERE sequence = 2",
    "a study that is open is no other state": "UPDATE studies SET state = 'lost' WHERE state = 'open'",
    "a job that is done is queued": "UPDATE jobs SET state = 'queued' WHERE state = 'done'",
    "a job that is queued is done": "UPDATE jobs SET state = 'done' WHERE state = 'queued'",
    "a delivery that was accepted is sent": "UPDATE deliveries SET state = 'pending' WHERE state = 'accepted'",
    "an image that was declined is accepted": "UPDATE instances SET state = 'accepted' WHERE state = 'declined'",
    "a result of no job": "UPDATE results SET job_id = 'none'",
    "a job without pipeline": "UPDATE jobs SET pipeline = NULL",
}


def go_to(database: Database, revision: str) -> None:
    """Move the schema, up or down."""
    found, _ = database.schema_revision()
    with database._engine.begin() as connection:
        config = _alembic()
        config.attributes["connection"] = connection
        (command.downgrade if (found or "") > revision else command.upgrade)(config, revision)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind, without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'hilum.db'}"
    server = request.getfixturevalue("postgresql_server")
    from tests.support.peers import databases

    return databases.new_database(server)


@pytest.fixture
def former(url: str) -> Iterator[Database]:
    """A database as f8a77d1 left it, of each kind, with its schema as it was then."""
    kind = make_url(url).get_backend_name()
    dump = (FIXTURES / "database" / f"f8a77d1.{kind}.sql").read_text(encoding="utf-8")
    if kind == "sqlite":
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.executescript(dump)
    else:
        import psycopg

        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(dump)
    with Database(url, actor="test") as database:
        assert database.schema_revision()[0] == "0002"
        yield database


def test_deliveries_of_the_first_schema_live_on_and_may_wait_for_commitment(url: str):
    with Database(url, actor="test") as database:
        go_to(database, "0001")
        with database.write() as tx:
            for table, values in ROWS.items():
                tx.execute(text(f"INSERT INTO {table} {values}"), {"t": NOW})
        with pytest.raises(DBAPIError), database.write() as tx:
            tx.execute(text("UPDATE deliveries SET state = 'stored'"))
        go_to(database, "0002")
        with database.write() as tx:
            query = "SELECT destination, state, attempts, transaction_uid, requests FROM deliveries"
            assert tuple(tx.execute(text(query)).one()) == ("pacs", "sending", 2, None, 0)
            tx.execute(text("UPDATE deliveries SET state = 'stored'"))
        with pytest.raises(DBAPIError), database.write() as tx:
            tx.execute(text("UPDATE deliveries SET state = 'sending'"))
        go_to(database, "0001")
        with database.read() as tx:
            assert tx.execute(text("SELECT state FROM deliveries")).scalar_one() == "pending"


def test_a_filled_database_is_readable_after_the_migration(former: Database):
    former.migrate()
    with former.read() as tx:
        assert {event.action for event in audit.events(tx)} <= set(audit.Action)
        assert audit.verify(tx) == audit.Verification(81, audit.head(tx).hash, None)
        lines = {line.study_instance_uid.removeprefix(STUDY): line for line in report.study_lines(tx, limit=20)}
        assert {number: (line.state, line.job_state) for number, line in lines.items()} == {
            "1": (StudyState.OPEN, JobState.DONE),
            "2": (StudyState.COMPLETE, JobState.DELIVERING),
            "3": (StudyState.COMPLETE, JobState.FAILED),
            "4": (StudyState.OPEN, None),
            "5": (StudyState.COMPLETE, JobState.UNDELIVERED),
            "6": (StudyState.COMPLETE, JobState.QUEUED),
            "7": (StudyState.COMPLETE, JobState.RUNNING),
            "8": (StudyState.COMPLETE, None),
        }
        assert [i.reason for i in studies.instances_of(tx, lines["1"].id, revision=1)] == [None, Reason.LATERAL_VIEW]
        assert report.status(tx).withheld == 1


def test_the_results_of_a_filled_database_are_found_in_the_spool(former: Database, tmp_path: Path):
    spool = Spool.create(tmp_path / "spool")
    for number in (1, 2, 5):
        for kind in ("SR", "SEG"):
            spool.store_result(f"{kind} of study {number}".encode())
            spool.store_result(f"result {kind} of study {number}".encode())
    former.migrate()
    with former.read() as tx:
        found = [
            (line.kind, spool.result_path(line.sha256).read_bytes())
            for study in report.study_lines(tx, limit=20)
            if study.job_id is not None
            for line in report.result_lines(tx, study.job_id)
        ]
    assert len(found) == 12
    assert all(content.startswith(f"result {kind} of study".encode()) for kind, content in found)


def test_what_waited_before_the_migration_goes_on_after_it(former: Database):
    former.migrate()
    with former.write() as tx:
        lines = {line.study_instance_uid.removeprefix(STUDY): line for line in report.study_lines(tx, limit=20)}
        claimed = jobs.claim(tx, lines["6"].job_id or "", lease_s=60)
        assert claimed is not None
        assert (claimed.pipeline, claimed.bundles, claimed.priority) == ("chest", ("pneumothorax",), "STAT")
        assert jobs.requeue(tx) == [lines["3"].job_id]
        assert deliveries.requeue(tx, retry_for_s=100) == 4
        states = [line.state for line in report.result_lines(tx, lines["5"].job_id or "")]
        assert states == [DeliveryState.PENDING] * 4
        assert studies.reopen(tx, f"{STUDY}8") == 2
        decision = studies.RoutingDecision("mr", "atrium", "routine", None, [])
        job_id = studies.complete(tx, lines["8"].id, reason="rerun", decision=decision)
        again = jobs.claim(tx, str(job_id), lease_s=60)
        assert again is not None
        assert again.pipeline == "atrium"
        assert audit.verify(tx).problem is None


@pytest.mark.parametrize("what", REFUSED)
def test_what_was_refused_is_refused_after_the_migration(former: Database, what: str):
    former.migrate()
    with pytest.raises(DBAPIError), former.write() as tx:
        tx.execute(text(REFUSED[what]))


def test_the_migrated_schema_is_that_of_the_tables(former: Database):
    former.migrate()
    with former._engine.connect() as connection:
        # SQLite does not look at the length of a text.
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, Base.metadata) == []


def test_an_object_of_3_gib_is_recorded_and_rows_of_before_keep_their_size(former: Database):
    """In PostgreSQL the size of one such object was out of range, and the intake could record nothing after it."""
    with former.read() as tx:
        before = tx.execute(text("SELECT size_bytes FROM instances ORDER BY id")).scalars().all()
    former.migrate()
    with former.write() as tx:
        tx.execute(text("UPDATE instances SET size_bytes = :size WHERE id = 1"), {"size": 3 << 30})
    with former.read() as tx:
        assert tx.execute(text("SELECT size_bytes FROM instances ORDER BY id")).scalars().all() == [
            3 << 30,
            *before[1:],
        ]


def test_the_dump_holds_what_it_is_read_for(former: Database):
    """Its results are named by their bytes, as the spool names them, under the home of another machine."""
    digest = hashlib.sha256(b"result SR of study 1").hexdigest()
    with former.read() as tx:
        path = tx.execute(text("SELECT path FROM results ORDER BY id")).scalars().first()
    assert path == f"/var/lib/hilum/spool/results/{digest[:2]}/{digest}.dcm"
