"""`make campaign`: run campaigns, print their table, and write what each came to into `campaign-output/`."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.campaigns import associations, clocks, codestreams, kills, objects, peers, resources, soak, stores, torn
from tests.campaigns.frame import scenario
from tests.campaigns.frame.fuzzed import Fuzzed
from tests.campaigns.frame.outcome import Outcome
from tests.campaigns.frame.table import table

GROUPS = {"resources": resources, "clocks": clocks, "stores": stores, "peers": peers}
ALONE = ("kills", "torn", "soak")
INPUTS = {
    "associations": (associations.run, 100_000),
    "objects": (objects.run, 100_000),
    "pipeline": (objects.run_pipeline, 5_000),
    "codestreams": (codestreams.run, 5_000),
}
"""Campaigns of mutated input, and how much of it; a short form takes a hundredth."""


def main() -> int:
    """Run those that were named; return how many did not hold."""
    parser = argparse.ArgumentParser(prog="make campaign ARGS=", description=__doc__)
    parser.add_argument(
        "names", nargs="*", help=f"{', '.join((*ALONE, *GROUPS, *INPUTS))}, or part of a fault's name; all but soak"
    )
    parser.add_argument("--short", action="store_true", help="minutes instead of hours")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32), help="to repeat a run")
    parser.add_argument("--minutes", type=float, default=120.0, help="of the soak")
    parser.add_argument("--out", type=Path, default=Path("campaign-output"))
    parser.add_argument("--list", action="store_true", help="only print the names")
    arguments = parser.parse_args()
    known = _all(arguments)
    chosen = {name: run for name, run in known.items() if _wanted(name, arguments.names)}
    if arguments.list:
        print("\n".join(chosen))
        return 0
    outcomes: list[Outcome | Fuzzed] = []
    for name, run in chosen.items():
        print(f"{name}, seed {arguments.seed}", flush=True)
        with tempfile.TemporaryDirectory(prefix="hilum-campaign-") as folder:
            outcomes.append(run(Path(folder)))
        outcomes[-1].write(arguments.out)
        print(table(outcomes[-1:]), flush=True)
    text = table(outcomes)
    (arguments.out / "campaigns.md").write_text(text + "\n", encoding="utf-8")
    print(f"\n{text}")
    return sum(not outcome.holds for outcome in outcomes)


def _wanted(name: str, asked: list[str]) -> bool:
    """Say whether a campaign was asked for; the soak only by its name."""
    if not asked:
        return name != "soak"
    group, _, own = name.partition(": ")
    whole = {*ALONE, *GROUPS, *INPUTS}
    return any(word == group or (word not in whole and word in own) for word in asked)


def _all(arguments: argparse.Namespace) -> dict[str, Callable[[Path], Outcome | Fuzzed]]:
    """Return every campaign by its name, those of a group as `group: name`."""
    short, seed = arguments.short, arguments.seed
    return {
        "kills": partial(
            kills.run,
            kills=10 if short else 1000,
            studies=12 if short else 5000,
            images=2,
            seed=seed,
            every_s=(0.5, 3.0),
        ),
        "torn": partial(torn.run, studies=12 if short else 600, steps=3 if short else torn.STEPS, seed=seed),
        **{
            f"{group}: {one.name}": partial(
                scenario.run, one, studies=6 if short else 30, seed=seed, hold_s=8.0 if short else None
            )
            for group, module in GROUPS.items()
            for one in module.scenarios()
        },
        **{
            name: partial(run, count=count // 100 if short else count, seed=seed, keep=arguments.out / name)
            for name, (run, count) in INPUTS.items()
        },
        "soak": partial(_soak, minutes=1.5 if short else arguments.minutes, seed=seed),
    }


def _soak(folder: Path, *, minutes: float, seed: int) -> Outcome:
    outcome, samples = soak.run(
        folder, seconds=60 * minutes, every_s=min(60.0, 3 * minutes), per_minute=30.0, seed=seed
    )
    print(samples.table())
    return outcome


if __name__ == "__main__":
    sys.exit(min(main(), 100))
