"""The Celery tasks: translate a message into one call of a plain function, with the job id bound to the log."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from celery import Celery, signals

from node.db.engine import Database
from node.dispatch.queue import ANALYSE, DELIVER, Device, Queues
from node.errors import MachineFault, place_of
from node.pulse import Pulse
from node.settings import NO_PIPELINE, Settings, notify_socket
from node.watchdog import Watchdog
from workers.jobs.delivery import deliver_job
from workers.jobs.runtime import Runtime
from workers.pipelines import protocol

log = structlog.get_logger()


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _keep_our_logging(**_signal: Any) -> None:
    """Celery leaves logging alone where this signal has a receiver."""


class Process:
    """The runtime of this process, opened after the fork and kept."""

    def __init__(self, settings: Settings, queues: Queues, device: Device, component: str) -> None:
        self._settings, self._queues, self._device, self._component = settings, queues, device, component
        self._runtime: Runtime | None = None
        self._pid = 0
        self._lock = threading.Lock()

    def runtime(self) -> Runtime:
        """Return this process's runtime."""
        with self._lock:
            if self._runtime is None or self._pid != os.getpid():
                self._runtime = Runtime.open(
                    self._settings, self._queues, device=self._device, component=self._component
                )
                self._pid = os.getpid()
            return self._runtime


def register_analysis(app: Celery, settings: Settings, queues: Queues, *, device: Device) -> None:
    """Register the analysis task, and load the networks in each process of the pool when it starts."""
    from workers.jobs.analysis import analyse_job

    process = Process(settings, queues, device, f"work-{device}")
    signals.worker_ready.connect(lambda **_signal: Watchdog(notify_socket()).start(), weak=False)
    _announce_when_started(process, settings, device)

    @app.task(name=ANALYSE)  # type: ignore[untyped-decorator]
    def analyse(job_id: str) -> None:
        _guarded(job_id, lambda: analyse_job(process.runtime(), job_id))


def register_delivery(app: Celery, settings: Settings, queues: Queues) -> None:
    """Register the delivery task; it needs no networks."""
    process = Process(settings, queues, "cpu", "deliver")
    signals.worker_ready.connect(lambda **_signal: _deliver_started(process, settings), weak=False)

    @app.task(name=DELIVER, time_limit=None)  # type: ignore[untyped-decorator]
    def deliver(job_id: str, destination: str | None = None) -> None:
        destination = destination if isinstance(destination, str) else None
        _guarded(job_id, lambda: deliver_job(process.runtime(), job_id, destination))


def _deliver_started(process: Process, settings: Settings) -> None:
    """Tell the node that a delivery worker is there, until it goes down."""
    pulse = _pulse(settings, process.runtime().database.actor, "delivery", None)
    signals.worker_shutdown.connect(lambda **_signal: pulse.stop(), weak=False)


def _pulse(settings: Settings, actor: str, component: str, device: Device | None) -> Pulse:
    """Start the pulse of this process, on a connection of its own."""
    database = Database(settings.resolved_database_url, actor=actor)
    pulse = Pulse(database, component, device=device, watchdog=Watchdog(notify_socket()))
    pulse.start()
    return pulse


def _guarded(job_id: object, run: Callable[[], object]) -> None:
    """Run one task; what it could not even record is logged, and the row is due again by its lease or its time.

    Whoever reaches the broker can write a message: one without the id of a job is refused.
    """
    if not isinstance(job_id, str):
        log.error("task.refused", why=f"a job id was expected, found {type(job_id).__name__}")
        return
    with structlog.contextvars.bound_contextvars(job_id=job_id):
        try:
            run()
        except Exception as error:  # the database is away, most likely: the worker goes on with the next message
            log.error("task.failed", error=str(error) if isinstance(error, MachineFault) else place_of(error))


def _announce_when_started(process: Process, settings: Settings, device: Device) -> None:
    """After the fork of the pool's child: load and warm up the networks, and tell the node that a worker is there."""

    def start(**_signal: Any) -> None:
        runtime = process.runtime()
        try:
            _load(runtime)
        except Exception as error:  # jobs wait until it is mended (`workers.jobs.machine`); the child must not loop
            runtime.machine.doubt(error)
            log.error("worker.networks_not_loaded", error=f"{type(error).__name__}: {error}")
        else:
            log.info("worker.ready", device=device)
        pulse = _pulse(settings, runtime.database.actor, "analysis", device)
        signals.worker_process_shutdown.connect(lambda **_signal: pulse.stop(), weak=False)

    signals.worker_process_init.connect(start, weak=False)


def _load(runtime: Runtime) -> None:
    """Load the networks of the first rule for each pipeline; those of other rules are loaded by their first job."""
    first = {rule.pipeline: rule.bundles for rule in reversed(runtime.settings.rules) if rule.pipeline != NO_PIPELINE}
    for name, bundles in first.items():
        pipeline = protocol.named(name)
        runtime.networks.loaded(pipeline, runtime.networks.choose(pipeline, bundles))


def run(app: Celery, arguments: Sequence[str]) -> None:
    """Run a worker until a signal ends it; whatever else ends it is a failure, so that its supervisor starts another.

    Raises
    ------
    SystemExit
        With 1: it ended by itself, as Celery does after some errors of its own and of the broker.
    """
    asked = threading.Event()
    signals.worker_shutting_down.connect(lambda **_signal: asked.set(), weak=False)
    try:
        app.worker_main(list(arguments))
    except SystemExit:
        if asked.is_set():
            raise
    if not asked.is_set():
        log.critical("worker.ended", why="it ended by itself")
        raise SystemExit(1)
