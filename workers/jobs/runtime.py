"""What a worker process holds for its whole life: settings, connections, and the loaded networks."""

from __future__ import annotations

from dataclasses import dataclass, field

from node.db.engine import Database
from node.dispatch.queue import Device, Queues, Sender, make_app
from node.identity import actor
from node.settings import Settings
from node.spool.store import Spool
from workers.jobs.machine import Machine
from workers.pipelines.networks import Networks


@dataclass
class Runtime:
    """One worker process."""

    settings: Settings
    database: Database
    spool: Spool
    sender: Sender
    networks: Networks
    machine: Machine = field(init=False)

    def __post_init__(self) -> None:
        self.machine = Machine(self.spool, self.networks)

    @classmethod
    def open(cls, settings: Settings, queues: Queues, *, device: Device, component: str) -> Runtime:
        """Open the connections of this process; the networks are loaded when they are first needed."""
        return cls(
            settings=settings,
            database=Database(settings.resolved_database_url, actor=actor(component)),
            spool=Spool(settings.home / "spool"),  # made by now: one that is gone must not be made anew
            sender=Sender(make_app(settings, queues), queues),
            networks=Networks(settings.analysis, device),
        )
