"""How commands print what they found."""

from __future__ import annotations

import json
import sys


def print_json(values: object) -> None:
    """Print one JSON object to standard output."""
    sys.stdout.write(json.dumps(values, indent=1) + "\n")
