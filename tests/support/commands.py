"""Commands of the programs, run in this process."""

from __future__ import annotations

from typer.testing import CliRunner

from training.cli import app


def training(*arguments: object) -> str:
    """Run a command of `python -m training`, which must succeed, and return what it printed."""
    outcome = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.output
