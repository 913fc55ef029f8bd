"""The hash chain finds what someone with access to the database did to it."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from node.db import audit
from node.db.audit import Action
from node.db.engine import Database

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def chain(database: Database) -> Database:
    with database.write() as tx:
        for number in range(1, 6):
            audit.append(tx, at=NOW, actor="test", action=Action.JOB_STARTED, study_id=1, number=number, text="Grüße")
    # Whoever tampers removes the triggers first.
    with database.write() as tx:
        tx.execute(text("DROP TRIGGER audit_events_no_update"))
        tx.execute(text("DROP TRIGGER audit_events_no_delete"))
    return database


def problem_after(database: Database, *statements: str) -> str | None:
    with database.write() as tx:
        for statement in statements:
            tx.execute(text(statement))
    with database.read() as tx:
        return audit.verify(tx).problem


def test_an_untouched_chain_is_intact(chain):
    with chain.read() as tx:
        outcome = audit.verify(tx)
    assert (outcome.rows, outcome.problem) == (5, None)
    assert outcome.head != audit.GENESIS


@pytest.mark.parametrize(
    ("column", "value"),
    [("detail", "'{}'"), ("actor", "'someone else'"), ("at", "'2027-01-01T00:00:00.000000+00:00'"), ("study_id", "2")],
)
def test_an_edited_row_is_found(chain, column, value):
    assert "row 3 was edited" in problem_after(chain, f"UPDATE audit_events SET {column} = {value} WHERE sequence = 3")


def test_a_deleted_row_is_found(chain):
    assert "row 2 is missing" in problem_after(chain, "DELETE FROM audit_events WHERE sequence = 2")


def test_rows_cut_off_the_end_are_found(chain):
    assert "rows were cut off" in problem_after(chain, "DELETE FROM audit_events WHERE sequence >= 4")


def test_reordered_rows_are_found(chain):
    assert "row 2" in problem_after(
        chain,
        "UPDATE audit_events SET sequence = 99 WHERE sequence = 2",
        "UPDATE audit_events SET sequence = 2 WHERE sequence = 3",
        "UPDATE audit_events SET sequence = 3 WHERE sequence = 99",
    )


def test_a_rewritten_chain_is_found_by_a_head_noted_elsewhere(chain):
    with chain.read() as tx:
        noted = audit.verify(tx).head
        assert audit.contains(tx, noted)
    with chain.write() as tx:
        tx.execute(text("DELETE FROM audit_events"))
        tx.execute(text(f"UPDATE audit_head SET sequence = 0, hash = '{audit.GENESIS}'"))
    with chain.write() as tx:
        audit.append(tx, at=NOW, actor="forger", action=Action.JOB_STARTED)
    with chain.read() as tx:
        assert audit.verify(tx).problem is None
        assert not audit.contains(tx, noted)


def test_an_event_is_rolled_back_with_its_transaction(database):
    with pytest.raises(RuntimeError), database.write() as tx:
        audit.append(tx, at=NOW, actor="test", action=Action.JOB_STARTED)
        raise RuntimeError
    with database.read() as tx:
        assert audit.verify(tx).rows == 0


@pytest.mark.parametrize("value", ["x'ff00'", "CAST(x'ff00' AS TEXT)", "NULL"])
def test_a_row_that_cannot_be_read_is_found(chain, value):
    statement = f"UPDATE audit_events SET detail = {value} WHERE sequence = 3"
    if value == "NULL":
        statement = "DROP TABLE audit_events"
    assert problem_after(chain, statement)


def test_rows_cut_off_with_the_head_set_back_are_missed_by_the_anchors(chain, tmp_path):
    from node.dispatch import anchors

    with chain.read() as tx:
        anchors.note(tmp_path, audit.head(tx), now=NOW)
        anchors.note(tmp_path, audit.head(tx), now=NOW)
        row = list(audit.events(tx))[1]
    (noted,) = anchors.read(tmp_path)
    assert noted.sequence == 5
    forged = f"UPDATE audit_head SET sequence = 2, hash = '{row.hash}'"
    assert problem_after(chain, "DELETE FROM audit_events WHERE sequence > 2", forged) is None
    with chain.read() as tx:
        assert not audit.contains(tx, noted.hash)
