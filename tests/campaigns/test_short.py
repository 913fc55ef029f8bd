"""The short form of the campaigns, every fault once: clocks and kills by default, all with --whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaigns import clocks, kills, peers, resources, stores, torn
from tests.campaigns.frame import scenario, tracing
from tests.campaigns.frame.outcome import Outcome
from tests.campaigns.frame.table import table

TOURS = [
    (f"{module.__name__.rpartition('.')[2]} {number}", group)
    for module in (resources, clocks, stores, peers)
    for number, group in enumerate(scenario.tours(module.scenarios()), start=1)
]
HOLD_S = 4.0
BY_DEFAULT = ("clocks",)
"""Modules whose tours every run goes through; the others take minutes each."""


def assert_holds(outcome: Outcome) -> None:
    print(table([outcome]))
    assert outcome.holds, "\n".join(outcome.troubles[:20])


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "group"), TOURS, ids=[name for name, _ in TOURS])
def test_nothing_is_lost_doubled_or_stuck(tmp_path: Path, whole: bool, name: str, group: list[scenario.Scenario]):
    if not whole and not name.startswith(BY_DEFAULT):
        pytest.skip("runs with --whole, and by make campaign")
    assert_holds(scenario.tour(name, group, tmp_path, studies=3, seed=0, hold_s=HOLD_S))


@pytest.mark.timeout(900)
def test_kill_9_of_every_part(tmp_path: Path):
    assert_holds(kills.run(tmp_path, kills=10, studies=12, images=2, seed=0, every_s=(0.5, 3.0)))


@pytest.mark.timeout(900)
def test_death_at_each_step_of_a_write(tmp_path: Path, whole: bool):
    if not whole:
        pytest.skip("runs with --whole, and by make campaign")
    if not tracing.available():
        pytest.skip("strace is not installed, or may not trace here")
    assert_holds(torn.run(tmp_path, studies=12, steps=3))
