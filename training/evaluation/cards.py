"""The card of a bundle, written from its manifest and its evaluation: no number is typed by hand."""

from __future__ import annotations

from collections.abc import Sequence

from models.bundle.intended_use import age_range
from models.bundle.manifest import CHOSEN, Calibration, Manifest, VolumeSpec
from models.image.inputs import InputSpec
from models.values import catalogue
from models.values.catalogue import Note
from training.data.collection import SHIPPED
from training.evaluation import targets
from training.evaluation.report.outcome import EvaluationOutcome, Table, figure_table
from training.evaluation.truths import Truth

NOTICE = "Research use only, not for clinical use."
THRESHOLDS = "Thresholds and calibration"
MEASURED = "Measured on the test split"


ALWAYS_NOT_FOR = (
    "Diagnosis, triage, or any decision about a patient: it is a research tool and no medical device.",
    "Ruling anything out: an answer below the threshold is no finding of health.",
)
ALWAYS_ETHICS = (
    "Figures hold for images like those of the test split. A site must measure on its own images, by subgroup, before "
    "it relies on any of them, and again when scanners, protocols or patients change.",
    "Sex, age and view are the only subgroups that the data allow to look at. Ethnicity, body size, disability and "
    "income are not recorded in them; unequal errors among these would not be seen.",
    "An overlay or a probability draws the eye. Readers may follow it when it is wrong (automation bias); they should "
    "look at the image first.",
)


def card(manifest: Manifest, truth: Truth, outcome: EvaluationOutcome) -> str:
    """Write the card in Markdown; it is readable without any other file."""
    texts = note_of(manifest.name)
    parts = [
        f"# {manifest.name} {manifest.version}",
        f"**{NOTICE}**",
        manifest.intended_use.statement.removeprefix(NOTICE).strip(),
        "## Intended use",
        _use(manifest),
        "## Not for",
        _items(texts.not_for),
        "## Network",
        _network(manifest),
        f"## {THRESHOLDS}",
        _thresholds(manifest),
        *(_targets(manifest, texts.missed) if truth.data_set in SHIPPED else ()),
        f"## {MEASURED}",
        _measured(truth, outcome),
        _markdown(figure_table("", "", manifest.evaluation)),
        *(part for table in outcome.tables for part in (f"### {table.heading}", table.sentence, _markdown(table))),
        "Plots and worst cases: `evaluation/index.html`; every number and every image: `evaluation/report.json`.",
        "## Limits",
        _items(texts.limits),
        "## Ethical considerations",
        _items(texts.ethics),
        "## Training data and terms",
        _markdown(_sources(manifest)),
        f"Terms of the weights: {manifest.licence}. "
        + ("Not for commercial use." if manifest.non_commercial else "Commercial use is not forbidden by them."),
    ]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def note_of(name: str) -> Note:
    """Return the texts of a bundle; of one without its own, what holds for all."""
    row = catalogue.BUNDLES.get(name)
    own = Note((), ("Nothing was written about the limits of this bundle yet.",)) if row is None else row.note
    return Note((*ALWAYS_NOT_FOR, *own.not_for), own.limits, (*own.ethics, *ALWAYS_ETHICS), own.missed)


def renewed(text: str, manifest: Manifest, measured_with: str) -> str:
    """Return the card of a later version, with title and thresholds of its manifest; the rest of `text` stays.

    Parameters
    ----------
    measured_with
        The version whose evaluation the card tells.
    """
    said = f"Measured with version {measured_with}, whose weights, calibration and thresholds are the same."
    first, *sections = text.rstrip("\n").split("\n\n## ")
    made = [f"# {manifest.name} {manifest.version}\n\n" + first.partition("\n\n")[2]]
    for section in sections:
        heading, _, body = section.partition("\n\n")
        if heading == THRESHOLDS:
            body = _thresholds(manifest)
        elif heading == MEASURED and said not in body:
            body = f"{said}\n\n{body}"
        made.append(f"{heading}\n\n{body}")
    return "\n\n## ".join(made) + "\n"


def _use(manifest: Manifest) -> str:
    """Say for whom."""
    use = manifest.intended_use
    unknown = "accepted and noted" if use.age_unknown_allowed else "refused"
    return _items(
        (
            f"{age_range(use)}; an unknown age is {unknown}",
            f"views: {', '.join(use.views)}; an unknown view is judged by the gate"
            if use.views
            else "no radiograph; no gate stands before it: whatever is given is taken for such a volume",
            "users: researchers and the staff who test it beside the clinical systems; never as the only reader",
        )
    )


def _network(manifest: Manifest) -> str:
    """Say what sees what."""
    network_input = (
        _network_input(manifest.input) if manifest.volume is None else _volume_input(manifest.volume, manifest.input)
    )
    return f"{manifest.architecture}; {network_input} Weights in fp16, computed in fp32."


def _network_input(spec: InputSpec) -> str:
    """Say what of the image the network gets."""
    region = (
        "the whole picture" if spec.region == "image" else f"the box around both lungs, widened by {spec.margin:.0%}"
    )
    low, high = spec.contrast_percentiles
    return (
        f"it sees {region}, letterboxed to {spec.size} x {spec.size}, grey values stretched between the percentiles "
        f"{low:g} and {high:g}."
    )


def _volume_input(volume: VolumeSpec, spec: InputSpec) -> str:
    """Say what of a volume the network gets."""
    parts = (volume.spacing_mm, volume.window, volume.source_spacing_mm)
    voxel, window, source = (" x ".join(f"{n:g}" for n in part) for part in parts)
    context = f" and {volume.context} slice(s) on either side" if volume.context else ""
    low, high = spec.contrast_percentiles
    return (
        f"voxels of {voxel} mm (slice, row, column), windows of {window} voxels{context} that overlap by "
        f"{volume.overlap:.0%}, grey values of the volume stretched between the percentiles {low:g} and {high:g}; the "
        f"largest piece is kept. Voxels of the training volumes were taken to be {source} mm."
    )


def _thresholds(manifest: Manifest) -> str:
    """Say which thresholds there are and how they were chosen."""
    lines = [f"{p.label}, {p.name}: {p.threshold:.4g} ({p.rule})" for p in manifest.operating_points]
    if manifest.postprocessing is not None:
        rule = manifest.postprocessing
        lines.append(
            f"mask: only where at least {rule.minimum_area:.3%} of the grid lies above {rule.top_threshold:.3g}, then "
            f"all above {rule.bottom_threshold:.3g} ({rule.rule})"
        )
    if manifest.gated_by is not None:
        lines.append(f"masks are given only where {manifest.gated_by} finds the disease")
    lines.append(_calibration(manifest.calibration))
    after = (
        'The point named "chosen" decides. The test split chose none of this. A site may set thresholds of its own; '
        "the algorithm then has another identity in every result."
    )
    return "\n\n".join((_items(lines), after, *_doubts(manifest)))


def _doubts(manifest: Manifest) -> tuple[str, ...]:
    """Say which probabilities are indeterminate, and how that was found."""
    return tuple(
        f"{p.label}: a probability from {p.doubt[0]:.4g} to below {p.doubt[1]:.4g} is called indeterminate, neither "
        f"present nor absent, because the threshold itself is uncertain there ({p.doubt_rule})."
        for p in manifest.operating_points
        if p.name == CHOSEN and p.doubt is not None
    )


def _calibration(calibration: Calibration) -> str:
    """Say how logits become probabilities."""
    table = "" if calibration.isotonic is None else f", then a monotone table of {len(calibration.isotonic)} points"
    return f"calibration: temperature {calibration.temperature:.4g}{table} ({calibration.method})"


def _targets(manifest: Manifest, why: tuple[str, ...]) -> tuple[str, ...]:
    """Return the targets, whether they are reached, and why one is not."""
    table = targets.table(manifest.name, manifest.evaluation)
    if table is None:
        return ()
    verdicts = [row[-1] for row in table.rows]
    summary = f"{verdicts.count('reached')} of {len(verdicts)} targets are reached."
    said = ("Why some are not:", _items(why)) if why and "not reached" in verdicts else ()
    return "## Targets", f"{table.sentence} {summary}", _markdown(table), *said


def _measured(truth: Truth, outcome: EvaluationOutcome) -> str:
    """Say on what and how."""
    report = outcome.report
    said = [
        f"Truth: {truth.definition}.",
        f"{report['images']} images of {report['patients']} patients, who were in no other split."
        if "patients" in report
        else "",
        "Intervals: 95 %, bootstrap over patients. From the image file through the code that serves, in fp32 on a CPU.",
    ]
    if report.get("outside_intended_use"):
        said.append(f"{report['outside_intended_use']} images outside the intended use are left out, as in serving.")
    if report.get("truth_unknown"):
        said.append(f"{report['truth_unknown']} images whose truth is unknown are left out.")
    said.extend(f"Undefined, counted apart ({name}): {count}." for name, count in report.get("undefined", {}).items())
    gate = report.get("gate", {})
    if gate.get("of"):
        said.append(
            f"The gate lets {gate['accepted']} of these {gate['of']} images through; the figures are of all of them."
        )
    return " ".join(filter(None, said))


def _sources(manifest: Manifest) -> Table:
    """Return the data sets with their terms."""
    rows = tuple(
        (d.name, str(d.images or ""), str(d.patients or ""), d.licence, d.citation) for d in manifest.training_data
    )
    return Table("", "", ("set", "images", "patients", "terms", "source"), rows)


def _items(lines: Sequence[str]) -> str:
    """Return a list."""
    return "\n".join(f"- {line}" for line in lines)


def _markdown(table: Table) -> str:
    """Return a table in Markdown."""
    head = [f"| {' | '.join(table.columns)} |", "|" + "---|" * len(table.columns)]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in table.rows)])
