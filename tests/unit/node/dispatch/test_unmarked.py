"""A message whose row cannot be marked is sent once, and again only when it may have been lost."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from node.db.engine import Database
from node.dispatch.dispatcher import Dispatcher
from node.dispatch.unmarked import Unmarked
from node.settings import Settings
from node.spool.store import Spool
from tests.support.rows import queued_job
from tests.support.stand_ins import Broker


def test_it_is_sent_again_after_a_while():
    now = [0.0]
    sent: list[str] = []

    def send() -> str:
        sent.append("message")
        return "queue"

    unmarked = Unmarked(resend_after_s=20, monotonic=lambda: now[0])
    for moment in (0.0, 1.0, 19.0):
        now[0] = moment
        assert unmarked.send("job", send) == "queue"
    assert len(sent) == 1
    now[0] = 20.0
    unmarked.send("job", send)
    assert len(sent) == 2
    unmarked.marked("job")
    unmarked.send("job", send)
    assert len(sent) == 3


def test_a_database_that_cannot_be_written_costs_one_message_and_not_one_each_round(tmp_path: Path, database: Database):
    queued_job(database)
    broker = Broker()
    with database.write() as tx:
        tx.execute(text("CREATE TRIGGER away BEFORE UPDATE ON jobs BEGIN SELECT RAISE(ABORT, 'away'); END"))
    now = [0.0]
    dispatcher = Dispatcher(
        Settings(home=tmp_path), database, Spool.create(tmp_path / "spool"), broker, monotonic=lambda: now[0]
    )
    for _ in range(6):
        now[0] += 3.0
        dispatcher.send_analyses()
    assert len(broker.analyses) == 1
