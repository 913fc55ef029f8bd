"""The installed bundles as people and programs read them: digest, figures, for whom, thresholds, and terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Table

from models.bundle.intended_use import CHEST_TASKS, age_range
from models.bundle.manifest import CHOSEN, Figure, Manifest, OperatingPoint, Task
from models.bundle.store import CARD, Bundle
from node.errors import Misconfigured
from node.settings import DEFAULT_PIPELINE, NO_PIPELINE, Rule
from workers.pipelines import protocol
from workers.pipelines.networks import Networks, configuration_digest
from workers.results.parts.identity import device_uid

UNASKED = "every rule that names no bundles"
SHORT = 12
"""Characters of a digest in a table."""
MAIN_FIGURES: Mapping[Task, tuple[str, ...]] = {
    "segmentation": ("Dice lungs", "Dice heart"),
    "lesion-segmentation": ("mean Dice", "Dice"),
    "classification": ("AUC",),
    "box": ("IoU", "intersection over union"),
    "detection": ("mAP", "mean average precision"),
    "volume-segmentation": ("Dice",),
}
"""What the names of a task's main figures begin with."""


def print_catalogue(bundles: Sequence[Bundle], console: Console) -> None:
    """Print one table of all bundles.

    Parameters
    ----------
    bundles
        With the thresholds that the site has set.
    """
    table = Table(show_lines=True)
    table.add_column("bundle", no_wrap=True)
    for head in ("figures", "for whom", "thresholds", "terms"):
        table.add_column(head, overflow="fold")
    for bundle in bundles:
        cells = (
            _name(bundle),
            "\n".join(map(figure_text, main_figures(bundle.manifest))) or "not evaluated",
            _use(bundle.manifest),
            _thresholds(bundle),
            _terms(bundle.manifest),
        )
        table.add_row(*(escape(cell) for cell in cells))
    console.print(table)


def print_card(bundle: Bundle, console: Console) -> None:
    """Print the model card, and before it what this site has changed."""
    identity = bundle.identity
    console.print(f"digest {identity.digest}", soft_wrap=True, highlight=False)
    if identity.shipped_digest is not None:
        console.print("[yellow]This site has set thresholds of its own[/]; the card speaks of those of the manifest.")
        for point in _chosen(bundle.manifest):
            console.print(f"  {point.label} {point.threshold:.4g}: {point.rule}", highlight=False, markup=False)
        console.print(f"  digest without them {identity.shipped_digest}", soft_wrap=True, highlight=False)
    console.print(Markdown((bundle.path / CARD).read_text(encoding="utf-8")))


def device_uids(networks: Networks, rules: Sequence[Rule]) -> dict[str, dict[str, str]]:
    """Return the Device UIDs (0018,1002) that results carry, by the name of the bundle and then of the rule.

    An algorithm is its weights, its thresholds and its configuration, which the other bundles of a rule belong to: they
    decide what it is asked. `UNASKED` stands for rules that name no bundles. A rule that cannot run has none.
    """
    asked: dict[str, tuple[str, Sequence[str] | None]] = {UNASKED: (DEFAULT_PIPELINE, None)}
    for rule in rules:
        if rule.pipeline != NO_PIPELINE and (rule.bundles is not None or rule.pipeline != DEFAULT_PIPELINE):
            asked[rule.name] = (rule.pipeline, rule.bundles)
    found: dict[str, dict[str, str]] = {}
    for rule_name, (pipeline, names) in asked.items():
        try:
            chosen = networks.choose(protocol.named(pipeline), names)
        except Misconfigured:
            continue
        configuration = configuration_digest(networks.settings.dtype, chosen)
        for bundle in chosen:
            found.setdefault(bundle.identity.name, {})[rule_name] = device_uid(bundle.identity, configuration)
    return found


def described(bundle: Bundle, device_uids: Mapping[str, str]) -> dict[str, Any]:
    """Return all that is known of a bundle as JSON values: its identity, its thresholds, and its manifest.

    Parameters
    ----------
    device_uids
        Those of this bundle, by rule.
    """
    identity = bundle.identity
    return {
        "name": identity.name,
        "version": identity.version,
        "task": bundle.manifest.task,
        "digest": identity.digest,
        "shipped_digest": identity.shipped_digest or identity.digest,
        "device_uids": dict(device_uids),
        "chest_pipeline": bundle.manifest.task in CHEST_TASKS,
        "only_by_name": bundle.manifest.only_by_name,
        "thresholds": {point.label: point.threshold for point in _chosen(bundle.manifest)},
        "thresholds_set_by_this_site": identity.shipped_digest is not None,
        "main_figures": [figure.model_dump(mode="json") for figure in main_figures(bundle.manifest)],
        "manifest": bundle.manifest.model_dump(mode="json"),
    }


# Stands in what a figure was measured on when it is of the recipe's training at one site, not of the bundle's weights.
OTHER_WEIGHTS = ", trained on "


def main_figures(manifest: Manifest) -> tuple[Figure, ...]:
    """Return the figures that stand for the whole evaluation, () where there is none.

    Of a disease: the first of its usual name, or the first at all. Of lungs and heart: one for each, over all sites.
    """
    usual = MAIN_FIGURES[manifest.task]
    if manifest.task == "segmentation":
        own = [one for one in manifest.evaluation if OTHER_WEIGHTS not in one.measured_on]
        named = [[one for one in own if one.name == name] for name in usual]
        found = tuple(max(ones, key=lambda one: one.count) for ones in named if ones)
    else:
        found = tuple(one for begin in usual for one in manifest.evaluation if one.name.startswith(begin))[:1]
    return found or manifest.evaluation[:1]


def figure_text(figure: Figure) -> str:
    """Return one figure with its interval in a line."""
    interval = "" if figure.low is None or figure.high is None else f" [{figure.low:.3f} to {figure.high:.3f}]"
    return f"{figure.name} {figure.value:.3f}{interval}\n{figure.measured_on}, n = {figure.count}"


def _name(bundle: Bundle) -> str:
    identity, task = bundle.identity, bundle.manifest.task
    lines = [identity.name, f"{identity.version}, {task}", f"digest {identity.digest[:SHORT]}"]
    if identity.shipped_digest is not None:
        lines.append(f"shipped as {identity.shipped_digest[:SHORT]}")
    if bundle.manifest.only_by_name:
        lines.append("only where a rule names it")
    return "\n".join([*lines, *([] if task in CHEST_TASKS else ["not in the chest pipeline"])])


def _use(manifest: Manifest) -> str:
    use = manifest.intended_use
    unknown = "accepted" if use.age_unknown_allowed else "refused"
    lines = [age_range(use), f"unknown age {unknown}", f"views {', '.join(use.views)}"]
    return "\n".join([*lines, *([f"only where {manifest.gated_by} finds it"] if manifest.gated_by else [])])


def _thresholds(bundle: Bundle) -> str:
    by_site = bundle.identity.shipped_digest is not None
    lines = []
    for point in _chosen(bundle.manifest):
        mark = "threshold set by this site: " if by_site and point.rule.startswith("set by this site") else ""
        lines.append(f"{mark}{point.label} {point.threshold:.3g}")
    limits = bundle.manifest.postprocessing
    if limits is not None:
        lines.append(f"{limits.top_threshold:.3g} on {limits.minimum_area:.2%}, then {limits.bottom_threshold:.3g}")
    return "\n".join(lines)


def _terms(manifest: Manifest) -> str:
    return "\n".join([*(["not for commercial use"] if manifest.non_commercial else []), manifest.licence])


def _chosen(manifest: Manifest) -> tuple[OperatingPoint, ...]:
    return tuple(point for point in manifest.operating_points if point.name == CHOSEN)
