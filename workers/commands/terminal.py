"""What people see on the terminal: findings as a table, stage timings, and which file to open with what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models.values.findings import Decision
from node.db.report import JobReport
from workers.results.text.summary_form import ImageSummary, Summary

_DECISIONS = {
    Decision.PRESENT: "[bold red]present[/]",
    Decision.INDETERMINATE: "[bold yellow]indeterminate[/]",
    Decision.ABSENT: "absent",
}
_FORMATS = {"ratio": ".2f", "percent": ".1f"}


def print_summary(summary: Summary, console: Console) -> None:
    """Print the findings of every image, and why nothing was found where that is so."""
    for image in summary["images"]:
        if not image["gate"]["passed"]:
            console.print(f"[yellow]Not analysed[/]: {image['gate'].get('meaning')} ({image['gate']['detail']})")
            continue
        console.print(_findings(image))
        if image["measurements"]:
            console.print(_measurements(image))
        for seen in image["quality"]:
            console.print(f"[{'yellow' if seen['matters'] else 'dim'}]image: {escape(seen['text'])}[/]")
        for note in image["pixel_notes"]:
            console.print(f"[dim]pixels: {escape(note)}[/]")
    for declined in summary["declined"]:
        console.print(f"[yellow]Not analysed[/]: {declined['meaning']}. {declined['detail']}")


def stages(job: JobReport) -> dict[str, float]:
    """Return how long the job spent in each stage, in seconds, in order."""
    moments = [
        ("waiting until complete", job.received_at, job.created_at),
        ("queue", job.created_at, job.started_at),
        ("analysis", job.started_at, job.analysed_at),
        ("delivery", job.analysed_at, job.finished_at),
    ]
    spent = {
        name: (end - start).total_seconds() for name, start, end in moments if start is not None and end is not None
    }
    inner = {f"  {name}": seconds for name, seconds in job.timings.items()}
    ordered: dict[str, float] = {}
    for name, seconds in spent.items():
        ordered[name] = seconds
        if name == "analysis":
            ordered |= inner
    return ordered


def print_timings(seconds: Mapping[str, float], console: Console) -> None:
    """Print a table of stages."""
    table = Table("stage", "seconds", title="Timings", title_justify="left")
    table.columns[1].justify = "right"
    for name, value in seconds.items():
        table.add_row(name, f"{value:.2f}")
    console.print(table)


def print_files(files: Mapping[str, tuple[Sequence[Path], str]], console: Console) -> None:
    """Print each kind of file and what opens it."""
    for name, (paths, opener) in files.items():
        for path in paths:
            console.print(f"{name:<8} {path}  [dim]open with {opener}[/]", soft_wrap=True, highlight=False)


def _findings(image: ImageSummary) -> Table:
    table = Table("finding", "probability", "threshold (uncertain)", "decision", title="Findings", title_justify="left")
    for finding in image["findings"]:
        side = f", {finding['laterality']}" if finding["laterality"] else ""
        doubt = "" if finding["doubt"] is None else " ({:.3f}–{:.3f})".format(*finding["doubt"])
        table.add_row(
            finding["label"],
            f"{finding['probability']:.3f}",
            f"{finding['threshold']:.3f}{doubt}",
            f"{_DECISIONS[Decision(finding['decision'])]}{side}",
        )
    for item in image["not_outlined"]:
        table.add_row(item["label"], "—", "—", f"no region was outlined: {item['detail']}")
    for item in image["not_computed"]:
        table.add_row(item["label"], "—", "—", f"[dim]not computed: {item['detail']}[/]")
    for structure in image["structures"]:
        side = f", {structure['laterality']}" if structure["laterality"] and structure["is_disease"] else ""
        table.add_row(structure["label"], "—", "—", f"outlined{side}, {structure['pixels']:,} pixels")
    return table


def _measurements(image: ImageSummary) -> Table:
    table = Table("measurement", "value", "unit", title="Measurements", title_justify="left")
    table.columns[1].justify = "right"
    for measurement in image["measurements"]:
        value = f"{measurement['value']:{_FORMATS.get(measurement['unit'], ',.0f')}}"
        table.add_row(measurement["label"], value, "" if measurement["unit"] == "ratio" else measurement["unit"])
    box = image["heart_box"]
    if box is not None:
        table.add_row("Heart box", f"columns {box['x0'] + 1}–{box['x1']}, rows {box['y0'] + 1}–{box['y1']}", "pixels")
    return table
