"""`hilum explain`: what this node would do with a file, and why, without receiving it.

Headers are read as intake reads them, and judged and routed by the same functions. Nothing is stored or sent, neither
database nor broker is needed, and neither the patient's name nor an identifier is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydicom.uid import UID
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from node import pipelines
from node.db.studies import RoutingDecision
from node.dicom.contexts import WORKER_DECODERS, accepted_contexts
from node.dicom.header import Header
from node.errors import Quarantined
from node.intake import routing
from node.intake.eligibility import Eligibility, judge
from node.intake.reading import examine_header
from node.settings import Rule, Settings

QUARANTINED: Final = "quarantined"
"""What becomes of a file that is no usable DICOM object."""
UNREADABLE: Final = "unreadable"
"""What is said of a file that this user may not read."""

_VERDICTS: Final = {
    Eligibility.ACCEPT: "accepted",
    Eligibility.DECLINE: "declined",
    Eligibility.IGNORE: "ignored",
}
_COLOURS: Final = {"accepted": "green", "declined": "yellow", "ignored": "dim", QUARANTINED: "red", UNREADABLE: "red"}


@dataclass(frozen=True)
class RuleCheck:
    """One routing rule, and whether it holds for the file."""

    rule: Rule
    unmet: str | None
    """The condition that does not hold; None: all hold."""
    reached: bool
    """Whether the rule is looked at; False: one before it decides."""


@dataclass(frozen=True)
class Explanation:
    """What would become of one file, if it came alone."""

    path: Path
    header: Header | None
    """None: it cannot be used."""
    verdict: str
    """accepted, declined, ignored or quarantined, as the node would record it; or unreadable."""
    reason: str | None
    """Why it is not accepted; a value of `node.reasons.Reason`."""
    detail: str
    pipeline: str | None
    """The pipeline that judges it; None: none is asked."""
    refusal: str | None
    """Why the receiver would not take it from a sender; None: it would."""
    checks: tuple[RuleCheck, ...]
    """Empty: nothing is routed, because the object is ignored or its study is not known."""
    decision: RoutingDecision | None
    """What the rules ask for; None: nothing."""

    @property
    def why(self) -> str:
        """The reason in words; empty where the file is accepted."""
        return f"{self.reason.replace('-', ' ')}: {self.detail}" if self.reason else self.detail

    @property
    def usable(self) -> bool:
        """Whether the file is a DICOM object that the node can use."""
        return self.header is not None

    @property
    def matching(self) -> Rule | None:
        """The rule that decides."""
        return next((check.rule for check in self.checks if check.reached and check.unmet is None), None)


def explain(path: Path, settings: Settings, *, calling_ae_title: str) -> Explanation:
    """Examine one file as intake does.

    Parameters
    ----------
    calling_ae_title
        Who sends it; empty: unknown, and a rule that asks for it does not match.
    """
    try:
        with path.open("rb"):
            pass  # intake can read what it wrote; this user may not be allowed to
        header = examine_header(path, maximum_bytes=settings.spool.maximum_object_bytes)
    except Quarantined as error:
        checks = _checks(None, settings, calling_ae_title) if error.study_instance_uid else ()
        decision = _decision(None, settings, calling_ae_title) if error.study_instance_uid else None
        return Explanation(path, None, QUARANTINED, error.reason, error.detail, None, None, checks, decision)
    except OSError as error:
        return Explanation(path, None, UNREADABLE, None, error.strerror or str(error), None, None, (), None)
    facts = routing.StudyFacts.of(header, calling_ae_title)
    pipeline = routing.pipeline_for(facts, settings.rules)
    verdict = judge(header, pipeline)
    routed = verdict.eligibility is not Eligibility.IGNORE
    return Explanation(
        path,
        header,
        _VERDICTS[verdict.eligibility],
        verdict.reason,
        verdict.detail,
        pipeline.name if routed else None,
        _refusal(header, settings, calling_ae_title),
        _checks(header, settings, calling_ae_title) if routed else (),
        _decision(header, settings, calling_ae_title) if routed else None,
    )


def _checks(header: Header | None, settings: Settings, calling_ae_title: str) -> tuple[RuleCheck, ...]:
    facts, decided, checks = routing.StudyFacts.of(header, calling_ae_title), False, []
    for rule in settings.rules:
        unmet = routing.unmet(rule, facts)
        checks.append(RuleCheck(rule, unmet, reached=not decided))
        decided = decided or unmet is None
    return tuple(checks)


def _decision(header: Header | None, settings: Settings, calling_ae_title: str) -> RoutingDecision | None:
    facts = routing.StudyFacts.of(header, calling_ae_title)
    return routing.route(facts, settings.rules, settings.destinations)


def _refusal(header: Header, settings: Settings, calling_ae_title: str) -> str | None:
    """Say why the association or the presentation context would be refused."""
    receiver = settings.receiver
    allowed = receiver.allowed_calling_ae_titles
    if calling_ae_title and allowed and calling_ae_title not in allowed:
        return f"{calling_ae_title} is not in receiver.allowed_calling_ae_titles"
    decoders = WORKER_DECODERS if receiver.decoders is None else frozenset(receiver.decoders)
    syntaxes = accepted_contexts(decoders, pipelines.storage_classes(settings.rules)).get(header.sop_class_uid)
    if syntaxes is None:
        return "its SOP class is not among those that the node takes (docs/conformance.md)"
    if header.transfer_syntax_uid not in syntaxes:
        return "its transfer syntax is not taken for this SOP class; senders that can will send another"
    return None


# For people


def print_one(found: Explanation, settings: Settings, console: Console, *, sender_known: bool) -> None:
    """Print everything about one file."""
    console.print(f"[bold]{escape(str(found.path))}[/]", soft_wrap=True, highlight=False)
    if found.header is not None:
        _print_rows("Header", _header_rows(found.header), console)
        taken = "would take it" if found.refusal is None else f"would not take it: {found.refusal}"
        console.print(f"\n[bold]Receiver[/]     {escape(taken)}", highlight=False)
    shown = f"[{_COLOURS[found.verdict]}]{found.verdict}[/]"
    shown += f" by the pipeline {escape(found.pipeline)}" if found.pipeline else ""
    console.print(f"\n[bold]Eligibility[/]  {shown}{escape(f', {found.why}' if found.why else '')}", highlight=False)
    if found.checks:
        _print_rows("Rules", _rule_rows(found.checks), console)
    console.print(f"\n[bold]So[/]           {_conclusion(found)}", highlight=False)
    if found.decision is not None:
        _print_rows("Analysis", _decision_rows(found, found.decision, settings), console)
    if not sender_known and any(check.rule.calling_ae_title for check in found.checks if check.reached):
        console.print("\n[dim]A file does not say who sends it: `--from AE` gives the calling AE Title.[/]")


def print_table(found: Sequence[Explanation], console: Console) -> None:
    """Print one line for each file, and how many of each verdict there are."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("file", "object", "verdict", "reason", "rule", "priority", "destinations"):
        least = 24 if column == "reason" else None
        table.add_column(column, overflow="fold", no_wrap=column in ("verdict", "priority"), min_width=least)
    for row in found:
        rule = row.matching
        table.add_row(
            escape(str(row.path)),
            "-" if row.header is None else _object_name(row.header),
            f"[{_COLOURS[row.verdict]}]{row.verdict}[/]",
            escape(row.why or (f"receiver: {row.refusal}" if row.refusal else "-")),
            escape(rule.name) if rule is not None else "none matches" if row.checks else "-",
            row.decision.priority if row.decision else "-",
            escape(", ".join(row.decision.destinations) or "none") if row.decision else "-",
        )
    console.print(table)
    counts = Counter(row.verdict for row in found)
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in _COLOURS if counts[verdict])
    console.print(f"{len(found)} file(s): {said}" if found else "no files")


def _print_rows(title: str, rows: Iterable[tuple[str, str]], console: Console) -> None:
    console.print(f"\n[bold]{title}[/]")
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(f"  {escape(name)}", escape(value))
    console.print(table, highlight=False)


def _object_name(header: Header) -> str:
    """Name modality and SOP class in few words: an image for presentation is what is ordinary."""
    name = UID(header.sop_class_uid).name.replace(" - For Presentation", "")
    return f"{header.modality or 'no modality'}, {name.replace(' Storage', '').replace(' Image', '')}"


def _header_rows(header: Header) -> list[tuple[str, str]]:
    view = header.view_position or (header.view_code and (header.view_code.meaning or header.view_code.value))
    size = f"{header.rows} × {header.columns}" + (f", {header.frames} frames" if header.frames > 1 else "")
    rows = (
        ("modality", header.modality),
        ("SOP class", f"{UID(header.sop_class_uid).name} ({header.sop_class_uid})"),
        ("transfer syntax", f"{UID(header.transfer_syntax_uid).name} ({header.transfer_syntax_uid})"),
        ("body part", header.body_part or (header.anatomic_region and header.anatomic_region.meaning)),
        ("view", view or "/".join(header.patient_orientation)),
        ("rows × columns", size if header.rows is not None else None),
        ("photometric", header.photometric_interpretation),
        ("age", None if header.age_years is None else f"{header.age_years:.1f} years"),
        ("study description", header.study_description),
        ("series description", header.series_description),
    )
    return [(name, value or "absent") for name, value in rows]


def _rule_rows(checks: Sequence[RuleCheck]) -> Iterator[tuple[str, str]]:
    deciding = next((check.rule.name for check in checks if check.reached and check.unmet is None), "")
    for check in checks:
        if not check.reached:
            yield check.rule.name, f"not looked at, {deciding} has decided"
        else:
            yield check.rule.name, "matches" if check.unmet is None else f"does not match: {check.unmet}"


def _conclusion(found: Explanation) -> str:
    if found.refusal is not None:
        return "not received, so nothing of what follows happens"
    match found.verdict:
        case "ignored":
            return "recorded only, never answered"
        case "unreadable":
            return "the node cannot say"
        case "quarantined" if not found.checks:
            return "kept in quarantine; not answered, because its study is not known"
    if found.decision is None:
        return "recorded only: " + ("the rule asks for no analysis" if found.matching else "no rule matches")
    if found.verdict == "accepted":
        return "analysed, and answered with results"
    return "not analysed; the study is answered with a report that gives the reason"


def _decision_rows(found: Explanation, decision: RoutingDecision, settings: Settings) -> Iterator[tuple[str, str]]:
    if found.matching is not None and found.verdict == "accepted":
        yield "pipeline", found.matching.pipeline
        yield (
            "bundles",
            "those that the pipeline runs unasked" if decision.bundles is None else ", ".join(decision.bundles),
        )
    yield "priority", decision.priority
    if not decision.destinations:
        yield "destinations", "none: results stay in the node"
    for name in decision.destinations:
        destination = settings.destinations[name]
        profile = settings.object_profiles[destination.profile]
        yield f"to {name}", f"{destination.address}, profile {profile.name}: {', '.join(profile.objects)}"


# For programs


def described(found: Explanation, settings: Settings) -> dict[str, Any]:
    """Return one explanation as plain values."""
    return {
        "file": str(found.path),
        "header": None if found.header is None else _header_values(found.header),
        "judged_by": found.pipeline,
        "refusal": found.refusal,
        "verdict": found.verdict,
        "reason": found.reason,
        "detail": found.detail,
        "rules": [{"name": check.rule.name, "reached": check.reached, "unmet": check.unmet} for check in found.checks],
        "rule": None if found.matching is None else found.matching.name,
        "pipeline": None if found.matching is None else found.matching.pipeline,
        "priority": None if found.decision is None else found.decision.priority,
        "bundles": None if found.decision is None else found.decision.bundles,
        "destinations": [
            {
                "name": name,
                "address": settings.destinations[name].address,
                "profile": settings.destinations[name].profile,
                "objects": list(settings.object_profiles[settings.destinations[name].profile].objects),
            }
            for name in (found.decision.destinations if found.decision else ())
        ],
    }


def _header_values(header: Header) -> dict[str, Any]:
    return {
        "modality": header.modality,
        "sop_class_uid": header.sop_class_uid,
        "transfer_syntax_uid": header.transfer_syntax_uid,
        "image_type": list(header.image_type),
        "body_part": header.body_part,
        "view_position": header.view_position,
        "rows": header.rows,
        "columns": header.columns,
        "frames": header.frames,
        "photometric_interpretation": header.photometric_interpretation,
        "age_years": header.age_years,
        "study_description": header.study_description,
        "series_description": header.series_description,
    }
