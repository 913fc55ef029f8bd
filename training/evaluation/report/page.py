"""The evaluation as one HTML file that needs nothing beside it: every plot with the sentence that explains it."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path
from string import Template

from models.bundle.manifest import Manifest
from training.evaluation.report.outcome import EvaluationOutcome, Plot, Table

PAGE = "index.html"
NOTICE = "Research use only, not for clinical use."
FRAME = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color: #20303c; background: #f5f7f8; font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
body { margin: 0 auto; max-width: 1120px; padding: 2rem 1.5rem 4rem; }
h1 { margin: 0; font-size: 1.7rem; }
h2 { margin: 2.4rem 0 .4rem; font-size: 1.15rem; border-bottom: 1px solid #d5dde1; padding-bottom: .25rem; }
p { max-width: 76ch; margin: .4rem 0 .8rem; }
.notice { color: #8d3420; font-weight: 600; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); grid-auto-flow: dense;
  gap: 1.2rem; margin-top: 1rem; }
figure { margin: 0; background: #fff; border: 1px solid #dfe6e9; border-radius: 6px; padding: 1rem; }
figure.wide { grid-column: 1 / -1; }
figure img { max-width: 100%; display: block; margin: 0 auto; }
figcaption b { display: block; }
figcaption { font-size: .9rem; color: #44555f; margin-bottom: .6rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; background: #fff; font-size: .86rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .28rem .7rem; border: 1px solid #dfe6e9; vertical-align: top; }
th { background: #eaf0f2; white-space: nowrap; }
td.number { text-align: right; white-space: nowrap; }
.reached { color: #1c6b3c; font-weight: 600; }
.missed { color: #8d3420; font-weight: 600; }
</style>
</head>
<body>
<h1>$title</h1>
<p class="notice">$notice</p>
$intro
$body
</body>
</html>
""")
# A number, or an interval of two.
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?%?( to [-+]?\d+\.\d+)?")
WIDE = 700
"""Plots wider than this many pixels take a whole row."""


def write(
    folder: Path, manifest: Manifest, outcome: EvaluationOutcome, intro: Sequence[str], tables: Sequence[Table]
) -> Path:
    """Write the page.

    Parameters
    ----------
    folder
        Of the plots, and of the page.
    intro
        Paragraphs that come first.
    tables
        What comes before the plots; the outcome's own tables come after them.
    """
    body = [_table(one) for one in tables]
    if outcome.plots:
        drawn = "\n".join(_plot(folder, one) for one in outcome.plots)
        body.append(f'<h2>Plots</h2>\n<div class="plots">\n{drawn}\n</div>')
    body.extend(_table(one) for one in outcome.tables)
    page = FRAME.substitute(
        title=html.escape(f"{manifest.name} {manifest.version}: evaluation"),
        notice=NOTICE,
        intro="\n".join(f"<p>{html.escape(one)}</p>" for one in intro),
        body="\n".join(body),
    )
    path = folder / PAGE
    path.write_text(page, encoding="utf-8", newline="\n")
    return path


def _plot(folder: Path, one: Plot) -> str:
    """Return a plot with its caption, the picture within the page."""
    content = (folder / one.file).read_bytes()
    width = int.from_bytes(content[16:20], "big")
    where = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    kind = ' class="wide"' if width > WIDE else ""
    heading, sentence = html.escape(one.heading), html.escape(one.sentence)
    return (
        f'<figure{kind}><figcaption><b>{heading}</b>{sentence}</figcaption><img src="{where}" alt="{heading}"></figure>'
    )


def _table(one: Table) -> str:
    """Return a table; numbers stand to the right."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in one.columns)
    rows = "\n".join("<tr>" + "".join(_cell(value) for value in row) + "</tr>" for row in one.rows)
    return (
        f"<h2>{html.escape(one.heading)}</h2>\n<p>{html.escape(one.sentence)}</p>\n"
        f'<div class="scroll"><table>\n<tr>{head}</tr>\n{rows}\n</table></div>'
    )


def _cell(value: str) -> str:
    """Return one cell."""
    kinds = {"reached": "reached", "not reached": "missed", "not measured": "missed"}
    kind = kinds.get(value, "number" if NUMBER.fullmatch(value) else "")
    return f'<td class="{kind}">{html.escape(value)}</td>' if kind else f"<td>{html.escape(value)}</td>"
