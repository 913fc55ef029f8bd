"""Time from the last C-STORE response to the SR in the PACS, by stage, on a whole node.

    python -m tests.bench.latency [--short] [--studies N] [--megabytes 10]

One study after the other: what a single patient waits. The stages come from the node's own rows; the total is measured
from outside, by a PACS that notes when the SR arrived. Quote medians.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from node.db import report
from tests.bench.ingest import OUTPUT
from tests.support.peers.pacs import SR, FakePACS
from tests.support.peers.system import phantom_file, running_node, study_uid
from tests.support.waiting import wait_for
from workers.commands.terminal import stages

SIZES = {10: (2500, 2000), 2: (1024, 1024)}
"""Rows and columns of phantoms of about so many megabytes."""


def run(*, studies: int, megabytes: int, work: Path) -> str:
    """Send studies one by one; return the figures as a Markdown table."""
    rows, columns = SIZES[megabytes]
    spent: dict[str, list[float]] = defaultdict(list)
    with (
        FakePACS() as pacs,
        running_node(
            work / "node",
            destinations={"pacs": pacs.destination},
            completion={"release_s": 2.0, "quiet_s": 15.0},
            dispatch={"interval_s": 0.25},
        ) as node,
    ):
        # The first study pays for imports; it is sent, and left out.
        for number in range(studies + 1):
            path = phantom_file(work, number, rows=rows, columns=columns)
            uid = study_uid(path)
            node.send_until_taken([path])
            answered_at = time.monotonic()
            wait_for(lambda uid=uid: pacs.of_study(uid)[SR], timeout_s=120)
            total = time.monotonic() - answered_at
            line = node.wait_until_ended(uid)
            assert line.job_id is not None
            with node.database.read() as tx:
                found = stages(report.job(tx, line.job_id))
            if number:
                spent["total, from outside"].append(total)
                for name, seconds in found.items():
                    spent[name].append(seconds)
    lines = [
        f"## Latency, {studies} studies of one {megabytes} MB image, one after the other (seconds)\n",
        "| stage | median | minimum | maximum |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name.replace('  ', '&nbsp;&nbsp;')} | {statistics.median(v):.2f} | {min(v):.2f} | {max(v):.2f} |"
        for name, v in spent.items()
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the command line, measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="three studies")
    parser.add_argument("--studies", type=int, default=15)
    parser.add_argument("--megabytes", type=int, choices=sorted(SIZES), default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hilum-bench-") as work:
        text = run(studies=3 if arguments.short else arguments.studies, megabytes=arguments.megabytes, work=Path(work))
    print(text)
    OUTPUT.mkdir(exist_ok=True)
    (OUTPUT / "latency.md").write_text(text)


if __name__ == "__main__":
    main()
