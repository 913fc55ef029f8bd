"""`hilum studies`: studies with their state; one study with its results and its audit trail."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from rich.console import Console

from node.db import audit, report
from node.db.engine import Transaction
from node.db.states import DeliveryState

_STATES: Final = {DeliveryState.STORED: "stored, waits for its storage commitment"}
"""Delivery states that need more than their name."""


def print_lines(lines: Sequence[report.StudyLine], console: Console) -> None:
    """Print one line for each study, whole however narrow the terminal: the UID is what `rerun` needs."""
    for line in lines:
        console.print(_study_line(line), soft_wrap=True, highlight=False, markup=False)
    if not lines:
        console.print("no studies yet")


def print_results_and_trail(tx: Transaction, line: report.StudyLine, console: Console) -> None:
    """Print the results of one study, where they are, its last error and its audit trail."""
    if line.job_id is not None:
        _print_results(report.result_lines(tx, line.job_id), console)
    if line.last_error:
        console.print(f"last error: {line.last_error}", markup=False)
    for text in trail(tx, line.id):
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def trail(tx: Transaction, study_id: int) -> list[str]:
    """Return the audit trail of a study as lines of text."""
    lines = []
    for event in audit.events(tx, study_id=study_id):
        detail = " ".join(f"{key}={_plain(value)}" for key, value in event.detail.items() if value not in (None, ""))
        lines.append(f"{event.sequence:>6} {event.at} {event.actor} {event.action} {detail}".rstrip())
    return lines


def _study_line(line: report.StudyLine) -> str:
    finished = f"{line.finished_at:%H:%M:%S}" if line.finished_at else "--:--:--"
    return (
        f"{line.opened_at:%Y-%m-%d %H:%M:%S} to {finished}  {line.job_state or 'no analysis':<11}  "
        f"study {line.state}{f' ({line.completion_reason})' if line.completion_reason else ''}, "
        f"revision {line.revision}, {line.images} image(s), {line.priority or 'no priority'}  {line.study_instance_uid}"
    )


def _print_results(lines: Sequence[report.ResultLine], console: Console) -> None:
    for line in lines:
        state = "" if line.state is None else _STATES.get(line.state, str(line.state))
        where = f"{line.destination}: {state}, {line.attempts} attempt(s)" if line.destination else "no destination"
        text = f"  {line.kind:<3} {line.sop_instance_uid} sha256 {line.sha256} -> {where}"
        console.print(
            text + (f"; {line.last_error}" if line.last_error else ""), soft_wrap=True, highlight=False, markup=False
        )


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
