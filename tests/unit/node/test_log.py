"""What stands in the log of an exception: its kind and its place, and neither its text nor the values around it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog

from node import log

SECRET = "PLANTED^NAME"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    logging.captureWarnings(False)


@pytest.mark.parametrize("style", ["console", "json"])
@pytest.mark.parametrize("name", ["celery.worker", "hilum"])
def test_an_exception_is_named_and_not_quoted(capsys: pytest.CaptureFixture[str], style: str, name: str):
    log.configure(style=style)  # type: ignore[arg-type]
    try:
        patient = SECRET
        raise ValueError(f"unexpected: {patient}")
    except ValueError:
        if name == "hilum":
            structlog.get_logger().exception("work.failed")
        else:
            logging.getLogger(name).exception("work.failed")
    written = capsys.readouterr().err
    assert "work.failed" in written
    assert "ValueError at " in written
    for word in (SECRET, "Traceback", "traceback object"):
        assert word not in written
