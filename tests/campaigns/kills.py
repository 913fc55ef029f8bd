"""kill -9 of every kind of process at random moments while studies go through."""

from __future__ import annotations

import random
import signal
import threading
import time
from pathlib import Path

from tests.campaigns.frame.archive import Archive
from tests.campaigns.frame.checker import check, wait_until_settled
from tests.campaigns.frame.node import PARTS, CampaignNode, campaign_node
from tests.campaigns.frame.outcome import Outcome
from tests.campaigns.frame.recovery import longest_recovery_s
from tests.campaigns.frame.router import Router, Studies
from tests.support.data.tiny_bundles import segmenter

WEIGHTS = {"up": 1, "broker": 1, "analysis": 2, "delivery": 2, "dispatch": 3, "analysis child": 3}
"""How often a part is chosen against the others (1 where nothing is said, times two)."""


def run(folder: Path, *, kills: int, studies: int, images: int, seed: int, every_s: tuple[float, float]) -> Outcome:
    """Kill `kills` processes while `studies` go through; studies are sent for as long as there is killing to do."""
    outcome = Outcome("kills", seed)
    generator = random.Random(seed)
    begun = time.monotonic()
    (folder / "sent").mkdir(parents=True)
    bundles = segmenter(folder / "bundles").parent
    moments: list[float] = []
    with Archive() as archive:
        with campaign_node(folder / "node", destinations={"archive": archive.destination}, bundles=bundles) as node:
            router = Router(node.address, Studies(folder / "sent", images=images))
            over = threading.Event()
            killer = threading.Thread(target=_kill, args=(node, generator, kills, every_s, over, outcome, moments))
            killer.start()
            try:
                with router.sending(range(studies)):
                    pass
                killer.join()
            finally:
                over.set()
                killer.join()
            node.wait_until_ready()
            outcome.faults = dict(outcome.faults)
            settled_s = wait_until_settled(node, router.taken, timeout_s=120 + studies * images * 0.5)
        check(node, router.taken, archive, outcome)
        outcome.longest_recovery_s = max(longest_recovery_s(archive.times, moments), 0.0)
    outcome.seconds = time.monotonic() - begun
    print(f"settled {settled_s:.0f} s after the last kill")
    return outcome


def _kill(
    node: CampaignNode,
    generator: random.Random,
    kills: int,
    every_s: tuple[float, float],
    over: threading.Event,
    outcome: Outcome,
    moments: list[float],
) -> None:
    parts = [part for part in PARTS for _ in range(WEIGHTS.get(part, 2))]
    order = generator.sample(PARTS, len(PARTS))  # each once at first
    while sum(outcome.faults.values()) < kills and not over.wait(generator.uniform(*every_s)):
        part = order.pop() if order else generator.choice(parts)
        if node.signal(part, signal.SIGKILL) is not None:
            outcome.faults[part] = outcome.faults.get(part, 0) + 1
            moments.append(time.monotonic())
