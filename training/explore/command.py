"""`python -m training explore` and `split`: one look at a data set, and its parts by patient."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from training import duplicates, splits
from training.duplicates import Near
from training.explore import leaks
from training.explore.page import page
from training.explore.summary import Findings, summary
from training.explore.survey import look
from training.progress import Shown, bars, silent
from training.sources import SOURCES, SPLIT_FILE, DataSet, SourceRefused, read

SourceName = Annotated[str, typer.Argument(help=f"Data set: {', '.join(SOURCES)}.")]
DataFolder = Annotated[
    Path, typer.Option("--data", envvar="HILUM_DATA", help="The owner's folder, or that of DATA.md.")
]


def explore(
    source: SourceName,
    data: DataFolder,
    out: Annotated[Path, typer.Option("--out", help="The page to write; report.json is written beside it.")],
    *,
    split: Annotated[Path | None, typer.Option(help="csv of id and split; without it the committed one.")] = None,
    near: Annotated[bool, typer.Option(help="Look for near duplicates too; takes minutes for large sets.")] = True,
) -> None:
    """Look at a data set: classes, sizes, ages, samples, broken files, duplicates, leaks between splits."""
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


def examine(
    source: DataSet,
    *,
    split: Path | None = None,
    near: bool = True,
    progress: Shown = silent,
) -> Findings:
    """Look at every image of a data set, and find what is there twice and what crosses its split.

    Parameters
    ----------
    split : csv of `id` and `split`; None takes the committed one when that names any image of the set.

    Raises
    ------
    SourceRefused
        The csv has not these columns or names no image of the set.
    """
    with progress("images") as told:
        sights, problems = look(source, told)
    prints = [sight.print for sight in sights]
    alike = duplicates.exact(prints)
    with progress("near duplicates") as told:
        nearly = duplicates.near(prints, told) if near else Near((), 0, 0)
    pairs = leaks.twins(sights, alike, nearly)
    split_of, split_name = _split(source, split)
    patient_of = {record.id: record.patient for record in source.records}
    return Findings(
        source=source,
        sights=sights,
        problems=(*source.problems, *problems),
        exact=tuple(tuple(sights[index].record.id for index in group) for group in alike),
        twins=pairs,
        near_bits=nearly.bits,
        compared=nearly.compared,
        split_of=split_of,
        split_name=split_name,
        leaks=leaks.leaks(patient_of, split_of, pairs) if split_name else None,
    )


def write(found: Findings, out: Path) -> None:
    """Write the page, and report.json beside it."""
    facts = summary(found)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(found, facts), encoding="utf-8")
    out.with_suffix(".json").write_text(json.dumps(facts, indent=1, ensure_ascii=False), encoding="utf-8")


def _split(source: DataSet, path: Path | None) -> tuple[dict[str, str], str | None]:
    """Give the part of each id, and where that is said; {} and None without a split."""
    name = SPLIT_FILE.get(source.name, source.name)
    committed = splits.FOLDER / f"{name}.csv"
    ids = {record.id for record in source.records}
    if path is None:
        split_of = splits.parts(committed) if committed.is_file() else {}
        # NIH's file holds images of the challenges and others; what is absent is told for the set's own split only.
        if name != source.name:
            split_of = {one: part for one, part in split_of.items() if one in ids}
        return (split_of, f"committed, {committed.name}") if ids & split_of.keys() else ({}, None)
    try:
        split_of = splits.parts(path)
    except (OSError, KeyError) as error:
        raise SourceRefused(f"{path} is no csv with the columns id and split: {error!r}") from error
    if not ids & split_of.keys():
        raise SourceRefused(
            f"{path} names no image of {source.name}; its ids look like {next(iter(split_of), 'none')!r}"
        )
    return split_of, path.name


def split(
    source: SourceName,
    data: DataFolder,
    out: Annotated[Path, typer.Option("--out", help="csv to write; an existing one is never changed.")],
    *,
    by: Annotated[str, typer.Option(help="What each part holds in equal parts: labels, view, sex or site.")] = "",
    val: Annotated[float, typer.Option(min=0, max=0.9, help="Part of the patients for validation.")] = 0.15,
    test: Annotated[float, typer.Option(min=0, max=0.9, help="Part of the patients for the test.")] = 0.20,
    folds: Annotated[int, typer.Option(min=0, help="Cut train and val into so many folds instead; 0: none.")] = 0,
    seed: int = splits.SEED,
) -> None:
    """Split a new data set by patient, stratified, and write the list of ids to be committed."""
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
