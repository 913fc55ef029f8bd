"""Structured logs: an event name and key-values, `job_id` bound by context, and never a patient attribute."""

from __future__ import annotations

import logging
import sys
import unicodedata
from functools import cache
from typing import Final, Literal

import structlog

from node.errors import place_of

_KEPT: Final = "\n\t"
_STEERING: Final = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""General categories of Unicode: control characters C0 and C1, and those that turn or hide the text beside them."""


def configure(*, level: str = "info", style: Literal["console", "json"] = "console", component: str = "") -> None:
    """Set up logging for this process; standard-library loggers go the same way."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info if level == "debug" else _name_exception,
        _make_printable,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=28)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # pydicom and pynetdicom write values of attributes into their warnings: a patient's name must not get here.
    for noisy in ("pydicom", "pynetdicom", "highdicom", "alembic", "kombu", "celery", "amqp", "PIL", "matplotlib"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL if noisy in {"pydicom", "pynetdicom"} else logging.WARNING)
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").setLevel(logging.CRITICAL)
    if component:
        structlog.contextvars.bind_contextvars(component=component)


def _name_exception(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Say of an exception what it was and where: its text, and the values around it, may be a patient's."""
    exc_info = event.pop("exc_info", None)
    error = exc_info[1] if isinstance(exc_info, tuple) else sys.exc_info()[1] if exc_info is True else exc_info
    if isinstance(error, BaseException):
        event["error"] = place_of(error)
    return event


def _make_printable(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Let no text that came over the network steer the terminal on which the log is read, or forge a line of it."""
    return {
        key: printable(value).replace("\n", "<U+000A>") if isinstance(value, str) and key != "exception" else value
        for key, value in event.items()
    }


def printable(text: str) -> str:
    """Return a text with each steering character written as its code: `<U+001B>`."""
    return text if text.isprintable() else "".join(map(_shown, text))


@cache
def _shown(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in _STEERING:
        return character
    return f"<U+{ord(character):04X}>"
