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


@pytest.mark.parametrize("style", ["console", "json"])
@pytest.mark.parametrize("name", ["celery.worker", "hilum"])
def test_a_text_from_the_network_neither_steers_the_terminal_nor_forges_a_line(
    capsys: pytest.CaptureFixture[str], style: str, name: str
):
    log.configure(style=style)  # type: ignore[arg-type]
    planted = "A\x1b[2J\x9b31m\u202e\nforged line"
    if name == "hilum":
        structlog.get_logger().warning("association.refused", calling_ae_title=planted)
    else:
        logging.getLogger(name).warning("consumer: %s", planted)
    (line,) = capsys.readouterr().err.splitlines()
    assert not set("\x1b\x9b\u202e") & set(line)
    assert "<U+001B>[2J" in line
    assert "<U+000A>forged line" in line
