"""The transition table, in Python and in the database."""

import itertools
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from node.db.engine import Database
from node.db.states import TRANSITIONS, DeliveryState, InstanceState, JobState, StudyState, check
from node.db.tables import AuditRow
from node.errors import ImpossibleTransition

PAIRS = [
    (table, old, new)
    for table, kind in (
        ("instances", InstanceState),
        ("studies", StudyState),
        ("jobs", JobState),
        ("deliveries", DeliveryState),
    )
    for old, new in itertools.permutations(kind, 2)
]


@pytest.mark.parametrize(("table", "old", "new"), PAIRS)
def test_only_listed_transitions_pass_the_check(table, old, new):
    if new in TRANSITIONS[type(old)][old]:
        assert check(old, new) is new
    else:
        with pytest.raises(ImpossibleTransition, match="cannot become"):
            check(old, new)


def test_every_state_has_its_own_line_in_the_table():
    for kind in (InstanceState, StudyState, JobState, DeliveryState):
        assert set(TRANSITIONS[kind]) == set(kind)
    assert InstanceState.QUARANTINED in TRANSITIONS[InstanceState][InstanceState.ACCEPTED]
    assert not TRANSITIONS[DeliveryState][DeliveryState.ACCEPTED]


def test_the_database_refuses_what_the_table_does_not_list(any_database: Database):
    """The triggers of the migrations and the table in Python say the same, for every pair of states."""
    rows = {
        "associations": "(id, calling_ae_title, called_ae_title, peer_address, opened_at) VALUES ('a','A','B','c',:t)",
        "studies": "(id, study_instance_uid, state, revision, opened_at, last_arrival_at) VALUES (1,'1',:s,1,:t,:t)",
        "instances": "(id, association_id, arrival, digest, size_bytes, state, received_at)"
        " VALUES (1,'a','x','d',1,:s,:t)",
        "jobs": "(id, study_id, revision, state, rule, priority, destinations, created_at, due_at, attempts, timings)"
        " VALUES ('j',1,1,:s,'r','STAT','[]',:t,:t,0,'{}')",
        "results": "(id, job_id, kind, profile, sop_class_uid, sop_instance_uid, series_instance_uid, sha256,"
        " size_bytes, created_at) VALUES (1,'j','SR','ohif','1','2','3','d',1,:t)",
        "deliveries": "(id, job_id, result_id, destination, state, created_at, due_at, attempts, retry_until)"
        " VALUES (1,'j',1,'d',:s,:t,:t,0,:t)",
    }
    first = {"studies": "open", "instances": "accepted", "jobs": "queued", "deliveries": "pending"}
    tables = list(rows)
    now = datetime.now(UTC)
    for table, old, new in PAIRS:
        refused = None
        try:
            with any_database.write() as tx:
                for name in tables:
                    state = old if name == table else first.get(name)
                    tx.execute(
                        text(f"INSERT INTO {name} {rows[name]}"), {"t": now, "s": state} if state else {"t": now}
                    )
                tx.execute(text(f"UPDATE {table} SET state = :s"), {"s": new})
                raise RollBack
        except RollBack:
            refused = False
        except DBAPIError as error:
            assert "impossible transition" in str(error)
            refused = True
        assert refused is (new not in TRANSITIONS[type(old)][old]), (table, old, new)


class RollBack(Exception):
    """Leave nothing behind."""


def test_the_database_refuses_to_change_the_audit_log(any_database: Database):
    from node.db import audit

    with any_database.write() as tx:
        tx.note(audit.Action.JOB_CREATED)
    for statement in ("UPDATE audit_events SET actor = 'x'", "DELETE FROM audit_events"):
        with pytest.raises(DBAPIError, match="append-only"), any_database.write() as tx:
            tx.execute(text(statement))
    with any_database.read() as tx:
        assert tx.query(AuditRow).count() == 1
