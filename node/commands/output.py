"""How commands print what they found: what came from the network or from a file never steers the terminal."""

from __future__ import annotations

import json
import sys
import unicodedata
from functools import cache
from typing import Any, Final

from rich.console import Console
from rich.text import Text

_KEPT: Final = "\n\t"
_STEERING: Final = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""General categories of Unicode: control characters C0 and C1, and those that turn or hide the text beside them."""


class Terminal(Console):
    """A console that shows a control character of a text as its code; styles are its own."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Render a text, in a table too."""
        return super().render_str(printable(text), **options)


def printable(text: str) -> str:
    """Return a text with each steering character written as its code: `<U+001B>`."""
    return text if text.isprintable() else "".join(map(_shown, text))


def print_json(values: object) -> None:
    """Print one JSON object to standard output, in ASCII."""
    sys.stdout.write(json.dumps(values, indent=1) + "\n")


@cache
def _shown(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in _STEERING:
        return character
    return f"<U+{ord(character):04X}>"
