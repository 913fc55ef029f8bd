"""The node's parts that storage commitment goes through, joined by hand to an archive under the tests' control."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from node.db import audit, report
from node.db.engine import Database
from node.db.states import DeliveryState, JobState
from node.delivery.destinations import TLSFiles
from node.dispatch import commitments
from node.settings import Settings
from node.spool.store import Spool
from tests.support.peers import certificates, servers
from tests.support.peers.pacs import FakePACS
from tests.support.stand_ins import Clock, NoBroker
from workers.jobs.runtime import Runtime
from workers.pipelines.networks import Networks


@dataclass
class Setup:
    """A worker, the dispatcher's part, a receiver and an archive, joined by hand so that each step can be looked at."""

    runtime: Runtime
    pacs: FakePACS
    port: int

    def record(self) -> int:
        """Do what the dispatcher does with reports."""
        runtime = self.runtime
        return commitments.record_reports(runtime.spool.commitments, runtime.database, runtime.settings.delivery)

    def lines(self, job_id: str) -> tuple[list[DeliveryState | None], JobState]:
        with self.runtime.database.read() as tx:
            return [line.state for line in report.result_lines(tx, job_id)], report.job(tx, job_id).state

    def errors(self, job_id: str) -> list[str | None]:
        with self.runtime.database.read() as tx:
            return [line.last_error for line in report.result_lines(tx, job_id)]

    def actions(self) -> list[str]:
        with self.runtime.database.read() as tx:
            return [event.action for event in audit.events(tx) if event.action.startswith("commitment.")]

    def wait(self, seconds: float) -> None:
        self.runtime.database.clock.now += timedelta(seconds=seconds)

    def reopen(self) -> None:
        """Forget everything that is not in the database and the spool, as a restart does."""
        former = self.runtime.database
        former.close()
        url = self.runtime.settings.resolved_database_url
        self.runtime.database = Database(url, actor=former.actor, clock=former.clock)
        self.runtime.spool = Spool.create(self.runtime.settings.home / "spool")


@contextmanager
def joined(folder: Path, authority: certificates.Authority | None = None) -> Iterator[Setup]:
    """Run the receiver and the archive, with everything of the node's in `folder`; with an authority over TLS."""
    mine, theirs = (TLSFiles(), TLSFiles()) if authority is None else map(authority.issue, ("node", "pacs"))
    with FakePACS(commits="when told", tls=theirs) as pacs:
        commitment = {"ask": True, "wait_s": 5.0, "report_within_s": 60.0, "requests": 2}
        settings = Settings(
            home=folder / "home",
            receiver={"port": 0, "processes": 1, "tls": mine},
            spool={"minimum_free_bytes": 0},
            destinations={"pacs": pacs.destination | {"commitment": commitment, "tls": mine}},
            delivery={"connect_timeout_s": 2, "response_timeout_s": 5},
        )
        url = settings.resolved_database_url
        with Database(url, actor="test", clock=Clock()) as database, servers.hilum(settings) as port:
            database.migrate()
            pacs.node_port = port
            runtime = Runtime(
                settings=settings,
                database=database,
                spool=Spool.create(settings.home / "spool"),
                sender=NoBroker(),
                networks=Networks(settings.analysis, "cpu"),
            )
            made = Setup(runtime, pacs, port)
            yield made
            made.runtime.database.close()
            made.runtime.spool.close()


def restart(setup: Setup, way: str) -> None:
    """Let the archive report in another way from now on."""
    setup.pacs.stop()
    setup.pacs.commits = way  # type: ignore[assignment]
    setup.pacs.start()


def no_wait(setup: Setup) -> None:
    """Release the association of a request at once."""
    pacs = setup.runtime.settings.destinations["pacs"]
    quick = pacs.commitment.model_copy(update={"wait_s": 0.0})
    setup.runtime.settings.destinations["pacs"] = pacs.model_copy(update={"commitment": quick})
