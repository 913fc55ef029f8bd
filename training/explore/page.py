"""The report as one HTML page without scripts, fonts or files from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from training.explore import plots, samples
from training.explore.leaks import Leaks, Twins
from training.explore.summary import DataSetFindings

MOST_ROWS = 40
MOST_PAIRS = 24
STYLE = """
:root { --ink:#20303c; --accent:#1f6f8b; --second:#c8553d; --pale:#e8edf0; }
* { box-sizing:border-box; }
body { font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif; color:var(--ink); margin:0 auto;
  padding:24px 28px 60px; max-width:1180px; background:#fff; }
h1 { font-size:26px; margin:0 0 4px; } h2 { font-size:19px; margin:38px 0 10px; border-bottom:2px solid var(--pale);
  padding-bottom:4px; } h3 { font-size:15px; margin:18px 0 6px; }
p, li { max-width:86ch; } .quiet { color:#5b6b75; font-size:13px; } .good { color:#2f8f5b; }
.bad { color:var(--second); }
.tiles, .row, .grid { display:flex; flex-wrap:wrap; } .tiles { gap:12px; margin:20px 0; } .row { gap:20px; }
.grid { gap:10px; } .tile { background:var(--pale); border-radius:8px; padding:10px 16px; min-width:118px; }
.pair p.quiet { margin-top:4px; }
.tile b { display:block; font-size:23px; line-height:1.25; } .tile.bad { background:#f8e4df; }
figure { margin:0; } .row figcaption { font-weight:600; font-size:14px; margin-bottom:2px; }
.grid figcaption { font-size:11px; color:#5b6b75; max-width:176px; overflow-wrap:anywhere; line-height:1.3; }
.grid img { display:block; border-radius:4px; background:#000; } .pair { display:flex; gap:4px; padding:8px;
  background:var(--pale); border-radius:8px; flex-wrap:wrap; width:376px; }
.pair p { margin:0; width:100%; font-size:12px; }
.row img { max-width:100%; height:auto; display:block; }
table { border-collapse:collapse; font-size:13px; margin:8px 0; } th, td { text-align:right; padding:3px 10px;
  border-bottom:1px solid var(--pale); } th { font-weight:600; }
td.text, th.text { text-align:left; overflow-wrap:anywhere; }
"""


def page(found: DataSetFindings, facts: Mapping[str, Any]) -> str:
    """Write the page; `facts` is the summary of what was found."""
    sections = [
        _head(found, facts),
        _tiles(found, facts),
        _labels(found, facts),
        _demography(found, facts),
        _pictures(found),
        _problems(found),
        _duplicates(found),
        _leaks(found),
    ]
    title = escape(f"Data set {found.source.name}")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n<body>\n'
        + "\n".join(section for section in sections if section)
        + "\n</body></html>\n"
    )


def _head(found: DataSetFindings, facts: Mapping[str, Any]) -> str:
    """Name the set, its terms and what must be known."""
    notes = "".join(f"<li>{escape(note)}</li>" for note in facts["notes"])
    return (
        f"<h1>Data set {escape(found.source.name)}</h1>"
        f"<p><b>Licence:</b> {escape(found.source.licence)}<br><b>Source:</b> {escape(found.source.citation)}</p>"
        f"<ul>{notes}</ul>"
        '<p class="quiet">Contains pictures of patients: keep it where the data set may lie. Research use only, not '
        "for clinical use.</p>"
    )


def _tiles(found: DataSetFindings, facts: Mapping[str, Any]) -> str:
    """Return the figures that matter at first sight."""
    leaks = found.leaks
    tiles: list[tuple[str, int | str, bool]] = [
        ("images", facts["records"], False),
        ("patients", facts["patients"], False),
        ("with masks", facts["with_mask"], False),
        ("with boxes", facts["with_boxes"], False),
        ("problems", len(found.problems), bool(found.problems)),
        ("not readable", facts["records"] - facts["readable"], facts["records"] != facts["readable"]),
        ("exact duplicates", sum(len(group) - 1 for group in found.exact), bool(found.exact)),
        ("near duplicates", len(facts["near_duplicates"]), bool(facts["near_duplicates"])),
        ("leaking patients", "no split" if leaks is None else len(leaks.patients), bool(leaks and leaks.patients)),
        ("leaking images", "no split" if leaks is None else len(leaks.images), bool(leaks and leaks.images)),
    ]
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile{" bad" if bad else ""}"><b>{_number(value)}</b>{escape(name)}</div>'
            for name, value, bad in tiles
        )
        + "</div>"
    )


def _labels(found: DataSetFindings, facts: Mapping[str, Any]) -> str:
    """Show the class balance, in all and by the part of the split."""
    labels: Mapping[str, Any] = facts["labels"]
    if not labels:
        return "<h2>Classes</h2><p>This set has no labels.</p>"
    parts = [part for part in ("train", "val", "test") if part in facts["splits"]]
    parts += sorted(facts["splits"].keys() - parts)
    header = ["label", "positive", "patients", "negative", "unknown", *(f"positive in {part}" for part in parts)]
    rows = [
        [name, all_["positive"], all_["positive_patients"], all_["negative"], all_["unknown"]]
        + [_share(counts[part]) for part in parts]
        for name, counts in labels.items()
        for all_ in (counts["all"],)
    ]
    return f'<h2>Classes</h2><div class="row">{_figure(plots.class_balance(labels), "")}</div>{_table(header, rows)}'


def _share(counts: Mapping[str, int]) -> str:
    """Return positives and their part of what is known."""
    known = counts["positive"] + counts["negative"]
    return f"{counts['positive']:,} ({counts['positive'] / known:.1%})" if known else "none known"


def _demography(found: DataSetFindings, facts: Mapping[str, Any]) -> str:
    """Show sizes, views, sexes, ages, sites and grey values."""
    if not found.sights:
        return ""
    shown = [one for one in found.sights if found.split_of.get(one.record.id) != "test"]
    figures = [_figure(plots.sizes(found.sights), f"Sizes ({len(facts['sizes'])} different)")]
    if len(facts["sizes"]) == 1:
        figures.clear()
    age = plots.ages(found.sights)
    figures.append(_figure(age, "Ages") if age else "")
    for key, title in _NAMED.items():
        if key in ("views", "sexes", "sites") and len(facts[key]) > 1:
            figures.append(_figure(plots.counts(facts[key]), title))
    if len(facts["images_per_patient"]) > 1:
        figures.append(_figure(plots.counts(facts["images_per_patient"]), "Patients by their number of images"))
    same = [f"{title.lower()} {next(iter(facts[key]))}" for key, title in _NAMED.items() if len(facts[key]) == 1]
    said = f'<p class="quiet">The same for all: {escape(", ".join(same))}.</p>' if same else ""
    grey = ""
    if shown:
        groups = {"all": shown, **samples.classes(shown)} if len(samples.classes(shown)) > 1 else {"all": shown}
        grey = (
            f'<h2>Grey values</h2><p class="quiet">As shown on a viewer, without the test split.</p><div class="row">'
            f"{_figure(plots.intensities(groups), 'Histogram')}{_figure(plots.brightness(shown), 'Brightness')}</div>"
        )
    return f'<h2>Images and patients</h2>{said}<div class="row">{"".join(figures)}</div>{grey}'


_NAMED = {
    "sizes": "Size",
    "ages": "Age",
    "views": "View",
    "sexes": "Sex",
    "sites": "Site",
    "images_per_patient": "Images per patient",
}


def _pictures(found: DataSetFindings) -> str:
    """Show some images of each class."""
    groups = samples.grid(found.sights, found.split_of)
    parts = [
        f'<h3>{escape(name)}</h3><div class="grid">{"".join(_shown(one) for one in pictures)}</div>'
        for name, pictures in groups.items()
    ]
    said = " None of the test split." if found.split_of else ""
    return (
        '<h2>Samples</h2><p class="quiet">Drawn by chance, each of another patient; masks outlined in red, boxes in '
        f"yellow.{said}</p>{''.join(parts)}"
    )


def _problems(found: DataSetFindings) -> str:
    """List what is wrong with the files, by kind."""
    if not found.problems:
        return '<h2>Problems</h2><p class="good">Every file was found, read and as expected.</p>'
    parts = []
    for kind in dict.fromkeys(problem.kind for problem in found.problems):
        given = [problem for problem in found.problems if problem.kind == kind]
        rows = [[problem.where, problem.message] for problem in given[:MOST_ROWS]]
        parts.append(
            f"<h3>{escape(kind)}: {len(given):,}</h3>{_table(['where', 'what'], rows, text=2)}{_more(given, MOST_ROWS)}"
        )
    return f"<h2>Problems</h2>{''.join(parts)}"


def _duplicates(found: DataSetFindings) -> str:
    """Show what is there twice."""
    search = (
        f'<p class="quiet">Near ones: {found.compared:,} pairs with hashes of at most {found.near_bits} different bits '
        "were laid onto each other and compared in their fine structure. Mirrored or turned copies are not found.</p>"
    )
    if not found.twins:
        return f'<h2>Duplicates</h2><p class="good">No image is there twice.</p>{search}'
    across = [pair for pair in found.twins if not pair.same_patient]
    disagreeing = [pair for pair in found.twins if not pair.same_labels]
    warnings = ""
    if across:
        warnings += f'<p class="bad">{len(across)} pairs stand under two patients: one person under two names, or one '
        warnings += "image given twice. A split by patient does not keep them together.</p>"
    if disagreeing:
        warnings += f'<p class="bad">{len(disagreeing)} pairs carry different labels.</p>'
    return f"<h2>Duplicates</h2>{warnings}{search}{_pairs(found, found.twins)}"


def _pairs(found: DataSetFindings, pairs: Sequence[Twins]) -> str:
    """Show pairs side by side, those that matter most first."""
    record = {sight.record.id: sight.record for sight in found.sights}
    ordered = sorted(pairs, key=lambda pair: (pair.same_patient, pair.same_labels, -pair.similarity))
    parts = []
    for pair in ordered[:MOST_PAIRS]:
        pictures = samples.side_by_side(record[pair.first], record[pair.second], found.split_of)
        shown = (
            "".join(_shown(one) for one in pictures)
            or f"<p>{escape(pair.first)}, {escape(pair.second)}: not shown (test split)</p>"
        )
        parts.append(f'<div class="pair"><p>{escape(_said(pair))}</p>{shown}</div>')
    return f'<div class="grid">{"".join(parts)}</div>{_more(ordered, MOST_PAIRS)}'


def _said(pair: Twins) -> str:
    """Describe a pair in words."""
    kind = "same pixels" if pair.similarity == 1 else f"near duplicate ({pair.similarity:.3f})"
    labels = "" if pair.same_labels else ", different labels"
    return f"{kind}, {'one patient' if pair.same_patient else 'two patients'}{labels}"


def _leaks(found: DataSetFindings) -> str:
    """Show what crosses the parts of the split."""
    if found.leaks is None:
        return (
            "<h2>Leaks between splits</h2><p>There is no split of this set yet: "
            "<code>python -m training split</code> makes one by patient.</p>"
        )
    leaks: Leaks = found.leaks
    parts = [f'<p class="quiet">Split: {escape(found.split_name or "")}.</p>']
    if not leaks.patients and not leaks.images:
        parts.append('<p class="good">No patient and no image stands in two parts.</p>')
    if leaks.patients:
        rows = [[patient, ", ".join(given)] for patient, given in list(leaks.patients.items())[:MOST_ROWS]]
        parts.append(f'<h3 class="bad">Patients in more than one part: {len(leaks.patients):,}</h3>')
        parts.append(_table(["patient", "parts"], rows, text=2) + _more(list(leaks.patients), MOST_ROWS))
    if leaks.images:
        rows = [
            [f"{one.first} ({found.split_of[one.first]})", f"{one.second} ({found.split_of[one.second]})", _said(one)]
            for one in leaks.images[:MOST_ROWS]
        ]
        parts.append(f'<h3 class="bad">Images in more than one part: {len(leaks.images):,}</h3>')
        parts.append(_table(["image", "the other", "what"], rows, text=3) + _more(leaks.images, MOST_ROWS))
    for names, said in ((leaks.unassigned, "in no part of the split"), (leaks.absent, "in the split, not in the set")):
        if names:
            parts.append(
                f"<p>{len(names):,} images are {said}: {escape(', '.join(names[:8]))}{' …' * (len(names) > 8)}</p>"
            )
    return f"<h2>Leaks between splits</h2>{''.join(parts)}"


def _figure(source: str, caption: str) -> str:
    """Return one figure."""
    said = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure>{said}<img src="{source}" alt="{escape(caption)}"></figure>'


def _shown(one: samples.SamplePicture) -> str:
    """Return one small picture."""
    image = f'<img src="{one.source}" alt="">' if one.source else ""
    return f"<figure>{image}<figcaption>{escape(one.caption)}</figcaption></figure>"


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]], text: int = 1) -> str:
    """Return a table whose first `text` columns are words."""
    names = [f"<th{_left(place < text)}>{escape(name)}</th>" for place, name in enumerate(header)]
    lines = [
        "<tr>" + "".join(f"<td{_left(place < text)}>{_number(value)}</td>" for place, value in enumerate(row)) + "</tr>"
        for row in rows
    ]
    return f"<table><tr>{''.join(names)}</tr>{''.join(lines)}</table>"


def _left(words: bool) -> str:
    """Return the class of a cell of words."""
    return ' class="text"' if words else ""


def _number(value: Any) -> str:
    """Write a count with separators, anything else as it is."""
    return f"{value:,}" if isinstance(value, int) else escape(str(value))


def _more(given: Sequence[Any], shown: int) -> str:
    """Say how many are not shown."""
    return (
        f'<p class="quiet">and {len(given) - shown:,} more, in the JSON file beside this page</p>'
        if len(given) > shown
        else ""
    )
