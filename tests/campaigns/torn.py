"""Death at each step of a write: the process dies at its n-th call that changes the disk, then everything restarts."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import psutil

from tests.campaigns.frame import tracing
from tests.campaigns.frame.archive import Archive
from tests.campaigns.frame.checker import check, wait_until_settled
from tests.campaigns.frame.node import CampaignNode, campaign_node
from tests.campaigns.frame.outcome import Outcome
from tests.campaigns.frame.recovery import longest_recovery_s
from tests.campaigns.frame.router import Router, Studies
from tests.support.data.tiny_bundles import segmenter

CALLS = "fdatasync,fsync,rename,link,unlink,mkdir,rmdir,ftruncate,pwrite64"
"""Between two of these the disk is in a state that a restart may find."""
WRITERS = ("receive child", "dispatch", "analysis child", "delivery")
STEPS = 40
"""Calls counted from the moment at which a process is looked at."""
PATIENCE_S = 6.0


def run(folder: Path, *, studies: int, steps: int = STEPS, seed: int = 0) -> Outcome:
    """Let each writer die at its first, second, ... call while studies go through; then pull the plug on all of it."""
    outcome = Outcome("torn writes", seed)
    begun = time.monotonic()
    (folder / "sent").mkdir(parents=True)
    bundles = segmenter(folder / "bundles").parent
    moments: list[float] = []
    with Archive() as archive:
        with campaign_node(folder / "node", destinations={"archive": archive.destination}, bundles=bundles) as node:
            router = Router(node.address, Studies(folder / "sent"))
            with router.sending(range(studies), threads=2):
                for step in range(1, steps + 1):
                    for part in WRITERS:
                        if _die_at(node, part, step):
                            outcome.faults[part] = outcome.faults.get(part, 0) + 1
                            moments.append(time.monotonic())
                _pull_the_plug(node, random.Random(seed))
                outcome.faults["all at once"] = 1
                moments.append(time.monotonic())
            node.wait_until_ready()
            wait_until_settled(node, router.taken, timeout_s=120 + studies * 0.3)
        check(node, router.taken, archive, outcome)
    outcome.longest_recovery_s = longest_recovery_s(archive.times, moments)
    outcome.seconds = time.monotonic() - begun
    return outcome


def _die_at(node: CampaignNode, part: str, step: int) -> bool:
    """Let one process die at its call number `step` from now on; say whether it came to that."""
    victims = node.processes(part)[:1]
    if not victims:
        return False
    try:
        with tracing.injected(victims, CALLS, f"signal=KILL:when={step}"):
            return bool(psutil.wait_procs(victims, timeout=PATIENCE_S)[0])
    except AssertionError:  # gone before strace had it
        return False


def _pull_the_plug(node: CampaignNode, generator: random.Random) -> None:
    """Kill all of it, and tear what was never synced: unfinished files, and the last line of a file that grows."""
    for part in ("up", *WRITERS, "receive", "analysis", "broker"):
        for process in node.processes(part):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
    for path in (node.home / "spool" / "tmp").rglob("*.part"):
        with contextlib.suppress(FileNotFoundError):
            os.truncate(path, generator.randint(0, path.stat().st_size))
    anchors = node.home / "audit-anchors.txt"
    if anchors.exists():
        os.truncate(anchors, max(0, anchors.stat().st_size - generator.randint(1, 60)))
