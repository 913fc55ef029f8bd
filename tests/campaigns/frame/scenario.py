"""One fault in a running node: studies before it, during it and after it, then the checker."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.campaigns.frame.archive import Archive
from tests.campaigns.frame.checker import check, wait_until_settled
from tests.campaigns.frame.node import CampaignNode, campaign_node
from tests.campaigns.frame.outcome import Outcome
from tests.campaigns.frame.recovery import longest_recovery_s
from tests.campaigns.frame.router import Router, Studies
from tests.support.data.tiny_bundles import segmenter


@dataclass(frozen=True)
class Scenario:
    """A fault and where it happens.

    Attributes
    ----------
    fault
        Given the node and its archive: a context in which the fault lasts.
    ground
        Given the node's folder before it starts: a context around everything, for file systems and servers; it may
        yield settings that replace those of the node.
    hold_s
        How long the fault lasts.
    environment
        Beside that of the tests, for every process of the node.
    settings
        Beside those of all campaigns, section by section.
    commitment
        Settings of the archive's storage commitment; None: it is not asked.
    allowed_in_log
        Texts that make a traceback in the log pardonable, because it is another program's.
    """

    name: str
    fault: Callable[[CampaignNode, Archive], AbstractContextManager[object]]
    ground: Callable[[Path], AbstractContextManager[Mapping[str, Any] | None]] | None = None
    hold_s: float = 20.0
    environment: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    commitment: Mapping[str, Any] | None = None
    allowed_in_log: Collection[str] = ()

    @property
    def place(self) -> tuple[object, ...]:
        """What it needs of a node."""
        return self.ground, self.environment, self.settings, self.commitment


def run(scenario: Scenario, folder: Path, *, studies: int, seed: int, hold_s: float | None = None) -> Outcome:
    """Send a third of `studies` before the fault, a third while it lasts, and a third after it; then check."""
    return tour(scenario.name, [scenario], folder, studies=studies, seed=seed, hold_s=hold_s)


def tours(scenarios: Sequence[Scenario]) -> list[list[Scenario]]:
    """Group scenarios that one node can go through: those of one ground, environment and settings."""
    alike: list[list[Scenario]] = []
    for one in scenarios:
        group = next((found for found in alike if found[0].place == one.place), None)
        if group is None:
            alike.append([one])
        else:
            group.append(one)
    return alike


def tour(
    name: str, scenarios: Sequence[Scenario], folder: Path, *, studies: int, seed: int, hold_s: float | None = None
) -> Outcome:
    """Let one node go through faults, one after the other, each with studies before, during and after; then check.

    Parameters
    ----------
    scenarios
        At least one, all of one place.
    studies
        For each of them.
    hold_s
        How long each fault lasts; None: as long as it says.
    """
    outcome = Outcome(name, seed, faults={one.name: 1 for one in scenarios})
    begun = time.monotonic()
    (folder / "sent").mkdir(parents=True)
    bundles = segmenter(folder / "bundles").parent
    first = scenarios[0]
    third = max(1, studies // 3)
    moments: list[float] = []
    with ExitStack() as stack:
        archive = stack.enter_context(Archive(commits="no" if first.commitment is None else "own association"))
        destination = archive.destination | ({"commitment": first.commitment} if first.commitment else {})
        ground = None if first.ground is None else stack.enter_context(first.ground(folder / "node"))
        with campaign_node(
            folder / "node",
            destinations={"archive": destination},
            bundles=bundles,
            environment=first.environment,
            **{**first.settings, **(ground or {})},
        ) as node:
            archive.node_port = node.settings.receiver.port
            router = Router(node.address, Studies(folder / "sent"))
            numbers = itertools.count()
            for scenario in scenarios:
                router.send(list(itertools.islice(numbers, third)))
                with router.sending(list(itertools.islice(numbers, third))):
                    with scenario.fault(node, archive):
                        time.sleep(scenario.hold_s if hold_s is None else hold_s)
                    moments.append(time.monotonic())
                    router.send(list(itertools.islice(numbers, third)))
            wait_until_settled(node, router.taken)
        allowed = [text for scenario in scenarios for text in scenario.allowed_in_log]
        check(node, router.taken, archive, outcome, allowed_in_log=allowed)
    outcome.longest_recovery_s = longest_recovery_s(archive.times, moments)
    outcome.seconds = time.monotonic() - begun
    return outcome
