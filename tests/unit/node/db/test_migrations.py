"""Databases of earlier versions: nothing is lost when they are brought up to date."""

from datetime import UTC, datetime

import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from node.db.engine import Database, _alembic

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


def go_to(database: Database, revision: str) -> None:
    """Move the schema, up or down."""
    found, _ = database.schema_revision()
    with database._engine.begin() as connection:
        config = _alembic()
        config.attributes["connection"] = connection
        (command.downgrade if (found or "") > revision else command.upgrade)(config, revision)


def test_deliveries_of_the_first_schema_live_on_and_may_wait_for_commitment(any_database: Database):
    go_to(any_database, "0001")
    with any_database.write() as tx:
        for table, values in ROWS.items():
            tx.execute(text(f"INSERT INTO {table} {values}"), {"t": NOW})
    with pytest.raises(DBAPIError), any_database.write() as tx:
        tx.execute(text("UPDATE deliveries SET state = 'stored'"))
    any_database.migrate()
    with any_database.write() as tx:
        row = tx.execute(text("SELECT destination, state, attempts, transaction_uid, requests FROM deliveries")).one()
        assert tuple(row) == ("pacs", "sending", 2, None, 0)
        tx.execute(text("UPDATE deliveries SET state = 'stored'"))
    with pytest.raises(DBAPIError), any_database.write() as tx:
        tx.execute(text("UPDATE deliveries SET state = 'sending'"))
    go_to(any_database, "0001")
    with any_database.read() as tx:
        assert tx.execute(text("SELECT state FROM deliveries")).scalar_one() == "pending"
