"""What came of mutated input: one row of a table, and everything that should not have happened."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path


@dataclass
class Fuzzed:
    """One campaign of mutated input.

    Attributes
    ----------
    outcomes
        How many inputs came to what.
    before, after
        What was measured around it, by name: resident memory in MiB, descriptors, threads, temporary files.
    findings
        Every single thing that should not have happened, with what repeats it.
    """

    campaign: str
    seed: int
    count: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def troubles(self) -> list[str]:
        """What did not hold."""
        return self.findings

    def bound(self, most: Mapping[str, float]) -> None:
        """Make a finding of each measure that has grown by more than `most` says."""
        for name, limit in most.items():
            if self.after[name] > self.before[name] + limit:
                self.findings.append(f"{name}: {self.before[name]:g} before, {self.after[name]:g} after")

    def keep(self, number: int, content: bytes, why: str, folder: Path | None) -> None:
        """Make a finding of an input, and keep its bytes where there is a folder for them."""
        self.findings.append(f"input {number}: {why}")
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{self.campaign}-{self.seed}-{number}.bin").write_bytes(content)

    def row(self) -> str:
        """Return the row of the table, in Markdown."""
        cells = [
            self.campaign,
            self.count,
            ", ".join(f"{count:,} {name}" for name, count in self.outcomes.most_common()),
            len(self.findings),
            f"{self.slowest_s:.1f} s",
            ", ".join(f"{name} {self.before[name]:.0f} → {self.after[name]:.0f}" for name in self.before),
            f"{self.seconds / 60:.1f} min",
            self.seed,
        ]
        return "| " + " | ".join(str(cell) for cell in cells) + " |"

    def write(self, folder: Path) -> None:
        """Write it as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        (folder / f"{self.campaign}.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


@contextlib.contextmanager
def own_temporary_folder(folder: Path) -> Iterator[Path]:
    """Have this process and its children put temporary files where nobody else does, so that they can be counted."""
    own = folder / "temporary"
    own.mkdir()
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"], tempfile.tempdir = str(own), None
    try:
        yield own
    finally:
        tempfile.tempdir = None
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before


HEADINGS = ("campaign", "inputs", "outcomes", "findings", "slowest", "before → after", "took", "seed")
