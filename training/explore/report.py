"""Look at a data set as a whole, and write the page with report.json."""

from __future__ import annotations

import json
from pathlib import Path

from training.data import duplicates, splits
from training.data.duplicates import Near
from training.data.sources import SPLIT_FILE, DataSet, SourceRefused
from training.explore import leaks
from training.explore.page import page
from training.explore.summary import DataSetFindings, summary
from training.explore.survey import look
from training.progress import ProgressFactory, silent


def examine(
    source: DataSet,
    *,
    split: Path | None = None,
    near: bool = True,
    progress: ProgressFactory = silent,
) -> DataSetFindings:
    """Look at every image of a data set, and find what is there twice and what crosses its split.

    Parameters
    ----------
    split
        csv of `id` and `split`; None takes the committed one when that names any image of the set.

    Raises
    ------
    SourceRefused
        The csv has not these columns or names no image of the set.
    """
    with progress("images") as on_progress:
        sights, problems = look(source, on_progress)
    prints = [sight.print for sight in sights]
    alike = duplicates.exact(prints)
    with progress("near duplicates") as on_progress:
        nearly = duplicates.near(prints, on_progress) if near else Near((), 0, 0)
    pairs = leaks.twins(sights, alike, nearly)
    split_of, split_name = _split(source, split)
    patient_of = {record.id: record.patient for record in source.records}
    return DataSetFindings(
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


def write(found: DataSetFindings, out: Path) -> None:
    """Write the page, and report.json beside it."""
    facts = summary(found)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(found, facts), encoding="utf-8")
    out.with_suffix(".json").write_text(json.dumps(facts, indent=1, ensure_ascii=False), encoding="utf-8")


def _split(source: DataSet, path: Path | None) -> tuple[dict[str, str], str | None]:
    """Return the part of each id, and where that is said; {} and None without a split."""
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
