"""`python -m training explore` and `split`: one look at a data set, and its parts by patient."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from training.data.splits import SEED

# The names of training/data/sources, which is not imported before a command runs.
Name = Literal["atrium", "ctr", "dicom", "kermany", "nih", "rsna", "siim"]
SourceName = Annotated[Name, typer.Argument(help="Data set.")]
DataFolder = Annotated[
    Path, typer.Option("--data", envvar="HILUM_DATA", help="The owner's folder, or that of DATA.md.")
]


def explore(
    source: SourceName,
    data: DataFolder,
    out: Annotated[
        Path, typer.Option("--out", help="The page to write; the same name with .json is written beside it.")
    ],
    *,
    split: Annotated[Path | None, typer.Option(help="csv of id and split; without it the committed one.")] = None,
    near: Annotated[bool, typer.Option(help="Look for near duplicates too; takes minutes for large sets.")] = True,
) -> None:
    """Look at a data set: classes, sizes, ages, samples, broken files, duplicates, leaks between splits."""
    from training.data.sources import SourceRefused, read
    from training.explore.report import examine, write
    from training.explore.summary import summary
    from training.progress import bars

    try:
        found = examine(read(source, data), split=split, near=near, progress=bars)
    except SourceRefused as refused:
        raise typer.BadParameter(str(refused)) from refused
    write(found, out)
    facts = summary(found)
    typer.echo(
        f"{facts['records']} images of {facts['patients']} patients, {len(facts['problems'])} problems, "
        f"{len(facts['exact_duplicates'])} groups of exact and {len(facts['near_duplicates'])} pairs of near duplicates"
    )
    if found.leaks is not None:
        typer.echo(f"{len(found.leaks.patients)} patients and {len(found.leaks.images)} pairs of images leak")
    typer.echo(str(out))


def split(
    source: SourceName,
    data: DataFolder,
    out: Annotated[Path, typer.Option("--out", help="csv to write; an existing one is never changed.")],
    *,
    by: Annotated[str, typer.Option(help="What each part holds in equal parts: labels, view, sex or site.")] = "",
    val: Annotated[float, typer.Option(min=0, max=0.9, help="Part of the patients for validation.")] = 0.15,
    test: Annotated[float, typer.Option(min=0, max=0.9, help="Part of the patients for the test.")] = 0.20,
    folds: Annotated[int, typer.Option(min=0, help="Cut train and val into so many folds instead; 0: none.")] = 0,
    seed: int = SEED,
) -> None:
    """Split a new data set by patient, stratified, and write the list of ids to be committed."""
    from training.data import splits
    from training.data.sources import SourceRefused, read

    try:
        found = read(source, data)
        rows = splits.rows_of(found, tuple(filter(None, by.split(","))))
        made: dict[str, str] = dict(splits.assign(rows, val, test, seed))
        if folds:
            made |= splits.named_folds([row for row in rows if made[row.id] != "test"], folds, seed)
        splits.write_rows(rows, made, out)
    except (SourceRefused, ValueError) as refused:
        raise typer.BadParameter(str(refused)) from refused
    except FileExistsError:
        raise typer.BadParameter(f"{out} exists; a split is made once, choose another name") from None
    for part in dict.fromkeys(sorted(made.values())):
        ids = {one for one, given in made.items() if given == part}
        patients = {row.patient for row in rows if row.id in ids}
        typer.echo(f"{part}: {len(ids)} images of {len(patients)} patients")
    typer.echo(str(out))
