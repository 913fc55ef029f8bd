"""Texts that steer a terminal are shown as codes; styles stay what they are."""

from __future__ import annotations

import io
import json

import pytest
from rich.table import Table

from node.commands.output import Terminal, print_json
from node.log import printable

PLANTED = "\x1b[2J\x07\x9b31m\u202eevil\u2066\r\x00"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Wang^XiaoDong 王", "Wang^XiaoDong 王"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[31m", "<U+001B>[31m"),
        ("\x9b31m", "<U+009B>31m"),
        ("\u202eabc", "<U+202E>abc"),
        ("a\u2028b", "a<U+2028>b"),
        ("\ufeff", "<U+FEFF>"),
        ("\ud800", "<U+D800>"),
    ],
)
def test_each_steering_character_is_a_code(text: str, shown: str):
    assert printable(text) == shown


def test_nothing_planted_reaches_the_terminal_by_a_line_or_a_table():
    out = io.StringIO()
    console = Terminal(file=out, force_terminal=False, width=200)
    table = Table(title=PLANTED)
    table.add_column(PLANTED)
    table.add_row(PLANTED)
    console.print(table)
    console.print(f"[red]detail[/]: {PLANTED}", soft_wrap=True)
    written = out.getvalue()
    assert "<U+001B>[2J" in written
    assert not set(PLANTED) - set("[2J31mevil") & set(written)


def test_json_is_ascii(capsys: pytest.CaptureFixture[str]):
    print_json({"detail": PLANTED})
    written = capsys.readouterr().out
    assert written.isascii()
    assert "\x1b" not in written
    assert json.loads(written) == {"detail": PLANTED}
