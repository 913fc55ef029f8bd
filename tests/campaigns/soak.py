"""Hours of mixed traffic: what a node uses must stay flat, and its slopes are printed."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from sqlalchemy import func, select

from node.db.tables import AuditRow, Base, StudyRow
from tests.campaigns.frame.archive import Archive
from tests.campaigns.frame.checker import check, wait_until_settled
from tests.campaigns.frame.node import PARTS, CampaignNode, campaign_node
from tests.campaigns.frame.outcome import Outcome
from tests.campaigns.frame.router import Router, Studies
from tests.support.data.tiny_bundles import segmenter

WARM_UP = 0.2
"""Share of the samples at the beginning that slopes leave out: caches fill."""
GROWTH_PER_HOUR = 0.05
"""Share of its median by which memory may grow in an hour, beyond what one sample differs from the next."""


@dataclass
class Samples:
    """What was measured at one moment after another."""

    hours: list[float] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def slope(self, name: str) -> float:
        """Return the growth in an hour, by least squares, after the warm-up."""
        start = int(len(self.hours) * WARM_UP)
        hours, values = self.hours[start:], self.values[name][start:]
        return statistics.linear_regression(hours, values).slope if len(set(hours)) > 1 else 0.0

    def table(self) -> str:
        """Return a table of medians and slopes, in Markdown."""
        lines = ["| what | median | last | growth in an hour |", "|---|---|---|---|"]
        for name, values in self.values.items():
            lines.append(f"| {name} | {statistics.median(values):.1f} | {values[-1]:.1f} | {self.slope(name):+.2f} |")
        return "\n".join(lines)


def run(folder: Path, *, seconds: float, every_s: float, per_minute: float, seed: int = 0) -> tuple[Outcome, Samples]:
    """Send single images, studies of several, and repetitions, `per_minute` studies for so long, and measure."""
    outcome, samples = Outcome("soak", seed), Samples()
    begun = time.monotonic()
    (folder / "sent").mkdir(parents=True)
    bundles = segmenter(folder / "bundles").parent
    with Archive() as archive:
        with campaign_node(folder / "node", destinations={"archive": archive.destination}, bundles=bundles) as node:
            single, several = Studies(folder / "sent"), Studies(folder / "sent", images=3)
            routers = [Router(node.address, single, "CR1"), Router(node.address, several, "DX1")]
            over = threading.Event()
            sampler = threading.Thread(target=_sample, args=(node, archive, samples, every_s, over))
            sampler.start()
            number = 0
            while time.monotonic() - begun < seconds:
                router = routers[number % 2]
                router.send_study(number)
                if number % 10 == 9:
                    router.send_study(number)  # a repetition
                number += 1
                time.sleep(max(0.0, begun + number * 60 / per_minute - time.monotonic()))
            over.set()
            sampler.join()
            taken = [one for router in routers for one in router.taken]
            wait_until_settled(node, taken)
        check(node, list(set(taken)), archive, outcome)
    outcome.seconds = time.monotonic() - begun
    for name in [one for one in samples.values if one.startswith(("MB", "descriptors", "threads"))]:
        values = samples.values[name]
        allowed = GROWTH_PER_HOUR * statistics.median(values) + 2 * _noise(values)
        if seconds >= 3600 and samples.slope(name) > allowed:
            outcome.troubles.append(f"{name} grows by {samples.slope(name):.2f} in an hour")
    return outcome, samples


def _noise(values: list[float]) -> float:
    return statistics.fmean(abs(b - a) for a, b in itertools.pairwise(values)) if len(values) > 1 else 0.0


def _sample(node: CampaignNode, archive: Archive, samples: Samples, every_s: float, over: threading.Event) -> None:
    begun = time.monotonic()
    while not over.wait(every_s):
        samples.hours.append((time.monotonic() - begun) / 3600)
        for part in PARTS:
            memory = descriptors = threads = 0
            for process in node.processes(part):
                with suppress(psutil.NoSuchProcess):
                    memory += process.memory_info().rss
                    descriptors += process.num_fds()
                    threads += process.num_threads()
            samples.values[f"MB, {part}"].append(memory / 1e6)
            samples.values[f"descriptors, {part}"].append(descriptors)
            samples.values[f"threads, {part}"].append(threads)
        _sample_rows(node, samples)


def _sample_rows(node: CampaignNode, samples: Samples) -> None:
    with node.database() as database, database.read() as tx:
        studies = tx.scalar(select(func.count()).select_from(StudyRow)) or 1
        rows = sum(tx.scalar(select(func.count()).select_from(table)) or 0 for table in Base.metadata.sorted_tables)
        events = tx.scalar(select(func.count()).select_from(AuditRow)) or 0
    samples.values["rows a study"].append(rows / studies)
    samples.values["audit events a study"].append(events / studies)
    files = sum(1 for path in (node.home / "spool").rglob("*") if path.is_file())
    samples.values["files a study"].append(files / studies)
