"""What the database does not know: no file is read under its write lock, and no row says where the home lies."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from models import phantom
from node.clock import utc_now
from node.db import report, studies
from node.db.engine import Database, Transaction
from node.db.states import DeliveryState, JobState
from node.dispatch.dispatcher import Dispatcher
from node.settings import Settings
from node.spool.incoming import AssociationInfo, AssociationOutcome, new_association_id
from node.spool.store import Spool
from tests.support.opened_files import opened_under
from tests.support.peers.pacs import FakePACS
from tests.support.results.jobs import Stub
from tests.support.stand_ins import Broker, steady
from workers.jobs.analysis import analyse_job
from workers.jobs.delivery import deliver_job
from workers.jobs.runtime import Runtime


class Watched(Database):
    """A database that notes which files of the spool are opened while its write lock is held."""

    def __init__(self, url: str, home: Path) -> None:
        super().__init__(url, actor="test")
        self.home, self.opened = home, list[Path]()
        self.transactions = 0

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        with super().write() as tx, opened_under(self.home / "spool") as opened:
            yield tx
        self.opened += opened
        self.transactions += 1


@contextmanager
def node(home: Path, pacs: FakePACS) -> Iterator[tuple[Dispatcher, Runtime]]:
    """Open a dispatcher and a worker in a home that may exist already."""
    settings = Settings(
        home=home,
        completion={"release_s": 0},
        destinations={"pacs": pacs.destination},
        delivery={"connect_timeout_s": 2, "response_timeout_s": 5, "first_delay_s": 0.01, "breaker_failures": 9},
    )
    spool = Spool.create(home / "spool")
    with Watched(settings.resolved_database_url, home) as database:
        database.migrate()
        networks = Stub(settings.analysis, "cpu")
        runtime = Runtime(settings, database, spool, Broker(), networks)
        yield Dispatcher(settings, database, spool, Broker(), steady(database)), runtime
    spool.close()


def receive(spool: Spool, seed: int = 4) -> None:
    """Do what a receiver does with one image of one association."""
    info = AssociationInfo(new_association_id(utc_now()), "ROUTER", "HILUM", "127.0.0.1", utc_now(), "CN=router")
    incoming = spool.incoming.open(info)
    temporary = spool.temporary_path()
    phantom.write(temporary, phantom.generate(seed, rows=400, columns=360))
    incoming.store(temporary)
    incoming.close(AssociationOutcome.RELEASED)


def analyse(dispatcher: Dispatcher, runtime: Runtime) -> str:
    """Go round until a job is sent, and analyse it."""
    dispatcher.sender.analyses.clear()
    dispatcher.round()
    ((job_id, _, _),) = dispatcher.sender.analyses
    assert analyse_job(runtime, job_id)
    return job_id


@pytest.fixture
def pacs() -> Iterator[FakePACS]:
    with FakePACS() as made:
        yield made


def test_no_file_is_opened_while_the_write_lock_is_held(tmp_path, pacs):
    with node(tmp_path, pacs) as (dispatcher, runtime):
        receive(runtime.spool)
        with opened_under(tmp_path / "spool") as opened:
            job_id = analyse(dispatcher, runtime)
            assert deliver_job(runtime, job_id) == 2
        database = runtime.database
        assert database.transactions > 5
        assert len(opened) > 5, "the watch sees what is opened"
        assert database.opened == []


def test_a_home_that_was_moved_goes_on_with_deliveries_and_reruns(tmp_path, pacs):
    with node(tmp_path / "old", pacs) as (dispatcher, runtime):
        receive(runtime.spool)
        job_id = analyse(dispatcher, runtime)
        pacs.stop()
        assert deliver_job(runtime, job_id) == 2
    shutil.move(tmp_path / "old", tmp_path / "new")
    pacs.start()
    with node(tmp_path / "new", pacs) as (dispatcher, runtime):
        assert deliver_job(runtime, job_id) == 2
        with runtime.database.read() as tx:
            assert {line.state for line in report.result_lines(tx, job_id)} == {DeliveryState.ACCEPTED}
            (line,) = report.study_lines(tx, limit=9)
        with runtime.database.write() as tx:
            assert studies.reopen(tx, line.study_instance_uid) == 2
        again = analyse(dispatcher, runtime)
        with runtime.database.read() as tx:
            assert report.job(tx, again).state is JobState.DELIVERING
            assert [line.kind for line in report.result_lines(tx, again)] == ["SEG", "SR"]


def test_the_certificate_of_a_sender_is_in_its_row_and_in_the_trail(tmp_path, pacs):
    from node.db import audit
    from node.db.tables import AssociationRow

    with node(tmp_path, pacs) as (dispatcher, runtime):
        receive(runtime.spool)
        dispatcher.round()
        with runtime.database.read() as tx:
            (row,) = tx.query(AssociationRow).all()
            (event,) = [event for event in audit.events(tx) if event.action == "association.released"]
    assert row.tls_subject == event.detail["tls_subject"] == "CN=router"
