"""Where things lie in the checkout."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FIXTURES = ROOT / "tests" / "fixtures"
GOLDEN = ROOT / "tests" / "golden"
RECIPES = ROOT / "training" / "recipes"

RECORDS = "HILUM_INTEROPERABILITY"
"""Environment variable that names the folder of a run's records (tests/support/results/interoperability.py)."""
