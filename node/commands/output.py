"""How commands print what they found: what came from the network or from a file never steers the terminal."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from node.log import printable


class Terminal(Console):
    """A console that shows a control character of a text as its code; styles are its own."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Render a text, in a table too."""
        return super().render_str(printable(text), **options)


def print_json(values: object) -> None:
    """Print one JSON object to standard output, in ASCII."""
    sys.stdout.write(json.dumps(values, indent=1) + "\n")
