"""All benchmarks: `make bench`, or `make bench ARGS=--short`."""

from __future__ import annotations

import argparse
import subprocess
import sys


def main() -> None:
    """Run each benchmark in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="about two minutes instead of twenty")
    short = ["--short"] if parser.parse_args().short else []
    for module in ("tests.bench.ingest", "tests.bench.latency"):
        subprocess.run([sys.executable, "-m", module, *short], check=True)


if __name__ == "__main__":
    main()
