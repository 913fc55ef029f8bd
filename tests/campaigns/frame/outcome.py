"""What a campaign has come to: one row of a table, and everything that did not hold."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path


@dataclass
class Outcome:
    """One campaign.

    Attributes
    ----------
    lost
        Instances that were answered with Success and are not recorded, or not answered in the archive.
    doubled
        Instances recorded more than once, and results in the archive that are none of the node's, or differ from it.
    stuck
        Jobs and deliveries that are in no final state when the time after the last fault is over.
    orphans
        Files without a row, and rows without their file.
    longest_recovery_s
        Longest time from the end of a fault to the next result in the archive, while one was waited for.
    troubles
        Every single thing that did not hold, in words.
    """

    campaign: str
    seed: int
    faults: dict[str, int] = field(default_factory=dict)
    studies: int = 0
    instances: int = 0
    lost: int = 0
    doubled: int = 0
    stuck: int = 0
    orphans: int = 0
    longest_recovery_s: float = 0.0
    seconds: float = 0.0
    troubles: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether everything that was promised held."""
        return not self.troubles

    def row(self) -> str:
        """Return the row of the table, in Markdown."""
        faults = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        cells = [
            self.campaign,
            f"{sum(self.faults.values())} ({faults})",
            self.studies,
            self.instances,
            self.lost,
            self.doubled,
            self.stuck,
            self.orphans,
            f"{self.longest_recovery_s:.1f} s",
            f"{self.seconds / 60:.1f} min",
            self.seed,
        ]
        return "| " + " | ".join(str(cell) for cell in cells) + " |"

    def write(self, folder: Path) -> None:
        """Write it as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        (folder / f"{self.campaign}.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


HEADINGS = (
    "campaign",
    "faults",
    "studies",
    "instances",
    "lost",
    "doubled",
    "stuck",
    "orphans",
    "longest recovery",
    "took",
    "seed",
)
