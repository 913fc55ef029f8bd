"""The Celery application and its messages: a task name, a queue, a job id, for delivery the name of a destination.

Nothing else is ever sent.

The broker is a hint. A message may be lost or come twice; the row of the job decides (see `node.db.jobs`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from celery import Celery
from kombu.entity import Queue
from kombu.exceptions import KombuError

from node.dispatch import embedded
from node.errors import BrokerUnavailable
from node.settings import Settings

ANALYSE = "hilum.analyse"
DELIVER = "hilum.deliver"
MINIMUM_DELIVERY_THREADS = 4
_SUFFIX_DIGITS = 8

Device = Literal["cpu", "cuda"]
_DEVICES: tuple[Device, ...] = ("cpu", "cuda")


@dataclass(frozen=True)
class Queues:
    """Names of this node's queues: each ends in something of its own, so that nodes may share a broker."""

    suffix: str

    @classmethod
    def of(cls, settings: Settings, node_id: str) -> Queues:
        """Return the queues of the node with an identity, which is its spool's."""
        return cls(settings.queue_suffix or node_id[:_SUFFIX_DIGITS])

    def analysis(self, device: Device) -> str:
        """Return the queue of the analyses for a device."""
        return f"analysis.{device}.{self.suffix}"

    @property
    def delivery(self) -> str:
        """The queue of the deliveries."""
        return f"delivery.{self.suffix}"

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (*map(self.analysis, _DEVICES), self.delivery)


# With Redis the lowest number goes first, with AMQP the highest.
_REDIS_PRIORITY = {"STAT": 0, "routine": 6}
_AMQP_PRIORITY = {"STAT": 9, "routine": 3}
WORKER_START_TIMEOUT_S = 300.0


def make_app(settings: Settings, queues: Queues) -> Celery:
    """Build the application for sending and for working."""
    url = settings.broker_url or f"redis+socket://{embedded.socket_path(settings)}"
    redis = url.startswith("redis")
    arguments = None if redis else {"x-max-priority": 10}
    app = Celery("hilum", broker=url, set_as_current=False)
    app.conf.update(
        task_queues=[_queue(name, arguments) for name in queues.names],
        task_create_missing_queues=False,
        task_default_queue=queues.delivery,
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        result_backend=None,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure_or_timeout=True,
        worker_prefetch_multiplier=1,
        # A child reports itself when its networks are loaded. The default of 4 s kills it before that on a slow or busy
        # machine, and its successor too, for ever.
        worker_proc_alive_timeout=WORKER_START_TIMEOUT_S,
        worker_disable_prefetch=redis,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        task_send_sent_event=True,
        task_time_limit=settings.analysis.time_limit_s,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=3,
        broker_pool_limit=2,
        broker_transport_options=_transport_options(settings) if redis else {},
        enable_utc=True,
    )
    return app


def _queue(name: str, arguments: dict[str, Any] | None) -> Queue:
    return Queue(name, queue_arguments=arguments)  # type: ignore[no-untyped-call]  # kombu has no types


def _transport_options(settings: Settings) -> dict[str, Any]:
    """Redis: priorities honoured, a dead socket noticed, lost messages looked for at each interval."""
    return {
        "queue_order_strategy": "priority",
        "visibility_timeout": max(60, int(2 * settings.analysis.time_limit_s)),
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": 10,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "health_check_interval": 10,
    }


class Sender:
    """Sends messages; the only thing that the dispatcher needs of Celery."""

    def __init__(self, app: Celery, queues: Queues) -> None:
        self._app, self._queues = app, queues
        redis = str(app.conf.broker_url).startswith("redis")
        self._priorities = _REDIS_PRIORITY if redis else _AMQP_PRIORITY

    def analyse(self, job_id: str, *, device: Device, priority: str) -> str:
        """Ask for an analysis; return the queue.

        Raises
        ------
        BrokerUnavailable
            The broker does not answer; the row stays due.
        """
        queue = self._queues.analysis(device)
        self._send(ANALYSE, job_id, queue=queue, priority=self._priorities[priority])
        return queue

    def deliver(self, job_id: str, destination: str, *, priority: str) -> None:
        """Ask for the due deliveries of a job to one destination to be sent.

        Raises
        ------
        BrokerUnavailable
            The broker does not answer; the rows stay due.
        """
        self._send(DELIVER, job_id, destination, queue=self._queues.delivery, priority=self._priorities[priority])

    def _send(self, task: str, *arguments: str, queue: str, priority: int) -> None:
        try:
            self._app.send_task(task, args=list(arguments), queue=queue, priority=priority, retry=False)
        except (KombuError, OSError) as error:
            raise BrokerUnavailable(f"the broker does not answer: {error}") from error


def associations_of(settings: Settings) -> dict[str, int]:
    """Return how many associations or connections at once each destination may have."""
    return {name: destination.associations for name, destination in settings.destinations.items()}


def delivery_threads(settings: Settings) -> int:
    """Return how many threads a delivery worker has unasked: enough that no destination waits for another."""
    return max(MINIMUM_DELIVERY_THREADS, sum(associations_of(settings).values()))


def broker_alive(settings: Settings) -> bool:
    """Say whether the broker answers."""
    app = make_app(settings, Queues("unused"))
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=0, timeout=3)
            connection.default_channel.close()
    except (KombuError, OSError):
        return False
    return True
