"""What is done now and then: its pace, and what becomes of a step that fails."""

import os
from datetime import timedelta

import pytest

from node.db import audit
from node.dispatch import anchors, maintenance
from node.dispatch.maintenance import INTERVAL_S, Occasional
from node.settings import Settings
from node.spool.commitments import CommitmentTransaction
from node.spool.store import Spool
from tests.support.stand_ins import NOW, later


def test_a_step_is_done_once_in_an_interval_and_also_after_the_clock_was_set_back():
    done = []
    step = Occasional(done.append)
    for seconds in (0, 1, INTERVAL_S - 1, INTERVAL_S, INTERVAL_S + 1, -1):
        step(later(seconds))
    assert done == [later(0), later(INTERVAL_S), later(-1)]


def test_a_step_that_failed_is_tried_again_at_once():
    tried = []

    def failing(now):
        tried.append(now)
        raise OSError

    step = Occasional(failing)
    for seconds in (0, 1):
        with pytest.raises(OSError):
            step(later(seconds))
    assert tried == [later(0), later(1)]


def test_each_step_does_its_part_of_the_work(tmp_path, database):
    settings, spool = Settings(home=tmp_path), Spool.create(tmp_path / "spool")
    steps = maintenance.steps(settings, database, spool)
    with database.write() as tx:
        tx.note(audit.Action.CIRCUIT_OPENED, destination="pacs")
        head = audit.head(tx)
    (spool.root / "tmp" / "dead.lock").touch()
    for transaction_uid in ("2.25.1", "2.25.2"):
        spool.commitments.record(CommitmentTransaction(transaction_uid, "PACS", ()))
    old = (NOW - timedelta(seconds=settings.delivery.retry_for_s + 1)).timestamp()
    (first, *_) = (path for path in (spool.root / "commitment").rglob("*.json") if b"2.25.1" in path.read_bytes())
    os.utime(first, (old, old))

    steps["anchor"](NOW)
    assert anchors.read(tmp_path) == [head]
    assert (spool.root / "tmp" / "dead.lock").exists()
    steps["sweep"](NOW)
    assert not (spool.root / "tmp" / "dead.lock").exists()
    assert spool.commitments.find("2.25.1") is not None
    steps["forget"](NOW)
    assert spool.commitments.find("2.25.1") is None
    assert spool.commitments.find("2.25.2") is not None
