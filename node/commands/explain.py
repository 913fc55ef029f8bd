"""`hilum explain`: what this node would do with a file, and why, without receiving it.

Headers are read as intake reads them, and judged and routed by the same functions. Nothing is stored or sent, neither
database nor broker is needed, and neither the patient's name nor an identifier is read.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
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
from node.dicom.remains import Remains, remains_of
from node.errors import Quarantined
from node.intake import routing
from node.intake.eligibility import Eligibility, judge
from node.intake.reading import examine_header
from node.settings import Rule, Settings

QUARANTINED: Final = "quarantined"
"""What becomes of a file that is no usable DICOM object."""
UNREADABLE: Final = "unreadable"
"""What is said of a file that this user may not read, and of what is no regular file."""
NOT_DICOM: Final = "not DICOM"
"""What is said of a file without the DICM prefix; intake would quarantine it."""

_VERDICTS: Final = {
    Eligibility.ACCEPT: "accepted",
    Eligibility.DECLINE: "declined",
    Eligibility.IGNORE: "ignored",
}
_COLOURS: Final = {
    "accepted": "green",
    "declined": "yellow",
    "ignored": "dim",
    QUARANTINED: "red",
    UNREADABLE: "red",
    NOT_DICOM: "dim",
}

_WIDE: Final = 110
"""Characters of a terminal from which the table has all columns; in fewer it leaves out object and priority."""


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
    header: Header | Remains | None
    """`Remains`: it cannot be used; None: nor can anything be read of it."""
    verdict: str
    """accepted, declined, ignored or quarantined, as the node would record it; or unreadable, or not DICOM."""
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
        return isinstance(self.header, Header)

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
        if not path.is_file():  # the reading of a pipe or a device may never end
            return _unread(path, UNREADABLE, "not a regular file")
        with path.open("rb") as file:
            if file.read(132)[128:] != b"DICM":
                return _unread(path, NOT_DICOM, "no DICM prefix after the preamble (PS3.10 section 7.1)")
        header = examine_header(path, maximum_bytes=settings.spool.maximum_object_bytes)
    except Quarantined as error:
        return _quarantined(path, error, settings, calling_ae_title)
    except OSError as error:
        return _unread(path, UNREADABLE, error.strerror or str(error))
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
        _refusal(path, header, settings, calling_ae_title),
        _checks(header, settings, calling_ae_title) if routed else (),
        _decision(header, settings, calling_ae_title) if routed else None,
    )


def _unread(path: Path, verdict: str, detail: str) -> Explanation:
    return Explanation(path, None, verdict, None, detail, None, None, (), None)


def _quarantined(path: Path, error: Quarantined, settings: Settings, calling_ae_title: str) -> Explanation:
    remains, answered = remains_of(path), error.study_instance_uid is not None
    return Explanation(
        path,
        remains,
        QUARANTINED,
        error.reason,
        error.detail,
        None,
        _refusal(path, remains, settings, calling_ae_title) if remains else None,
        _checks(None, settings, calling_ae_title) if answered else (),
        _decision(None, settings, calling_ae_title) if answered else None,
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


def _refusal(path: Path, header: Header | Remains, settings: Settings, calling_ae_title: str) -> str | None:
    """Say why the association, the presentation context or the object would be refused."""
    receiver = settings.receiver
    allowed = receiver.allowed_calling_ae_titles
    if calling_ae_title and allowed and calling_ae_title not in allowed:
        return f"{calling_ae_title} is not in receiver.allowed_calling_ae_titles"
    if not header.sop_class_uid:
        return "it names no SOP class"
    decoders = WORKER_DECODERS if receiver.decoders is None else frozenset(receiver.decoders)
    syntaxes = accepted_contexts(decoders, pipelines.storage_classes(settings.rules)).get(header.sop_class_uid)
    if syntaxes is None:
        return "its SOP class is not among those that the node takes (docs/conformance.md)"
    if header.transfer_syntax_uid not in syntaxes:
        return "its transfer syntax is not taken for this SOP class; senders that can will send another"
    if path.stat().st_size > receiver.maximum_object_bytes:
        return f"it is longer than receiver.maximum_object_bytes, {receiver.maximum_object_bytes}"
    return None


# For people


def print_one(found: Explanation, settings: Settings, console: Console, *, sender_known: bool) -> None:
    """Print everything about one file."""
    console.print(f"[bold]{escape(str(found.path))}[/]", soft_wrap=True, highlight=False)
    if found.header is not None:
        rows = _remaining_rows(found.header) if isinstance(found.header, Remains) else _header_rows(found.header)
        _print_rows("Header" if found.usable else "Header, what can still be read of it", rows, console)
        taken = "would take it" if found.refusal is None else f"would not take it: {found.refusal}"
        console.print(f"\n[bold]Receiver[/]     {escape(taken)}", highlight=False)
    shown = f"[{_COLOURS[found.verdict]}]{found.verdict}[/]"
    shown += f" by the pipeline {escape(found.pipeline)}" if found.pipeline else ""
    console.print(f"\n[bold]Eligibility[/]  {shown}{escape(f', {found.why}' if found.why else '')}", highlight=False)
    if found.checks:
        _print_rows("Rules", _rule_rows(found.checks), console)
    console.print(f"\n[bold]So[/]           {_conclusion(found)}", highlight=False)
    if found.decision is not None and found.refusal is None:
        _print_rows("Analysis", _decision_rows(found, found.decision, settings), console)
    if not sender_known and any(check.rule.calling_ae_title for check in found.checks if check.reached):
        console.print("\n[dim]A file does not say who sends it: `--from AE` gives the calling AE Title.[/]")


def print_table(found: Sequence[Explanation], console: Console) -> None:
    """Print one line for each file, named from the folder that they share, and how many of each verdict there are."""
    folder = os.path.commonpath([row.path.absolute().parent for row in found])
    console.print(f"in {escape(folder)}", soft_wrap=True, highlight=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    columns = ("file", "object", "verdict", "reason", "rule", "priority", "destinations")
    shown = [column for column in columns if console.width >= _WIDE or column not in ("object", "priority")]
    for column in shown:
        least = (24 if console.width >= _WIDE else 16) if column == "reason" else None
        table.add_column(column, overflow="fold", no_wrap=column in ("verdict", "priority"), min_width=least)
    for row in found:
        rule = row.matching
        routed = row.decision if row.refusal is None else None
        cells = {
            "file": escape(str(row.path.absolute().relative_to(folder))),
            "object": "-" if row.header is None else escape(_object_name(row.header)),
            "verdict": f"[{_COLOURS[row.verdict]}]{row.verdict}[/]",
            "reason": escape(f"not received: {row.refusal}" if row.refusal else row.why or "-"),
            "rule": escape(rule.name) if rule is not None else "none matches" if row.checks else "-",
            "priority": routed.priority if routed else "-",
            "destinations": escape(", ".join(routed.destinations) or "none") if routed else "-",
        }
        table.add_row(*(cells[column] for column in shown))
    console.print(table)
    counts = Counter(row.verdict for row in found)
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in _COLOURS if counts[verdict])
    console.print(f"{len(found)} file(s): {said}")


def _print_rows(title: str, rows: Iterable[tuple[str, str]], console: Console) -> None:
    console.print(f"\n[bold]{title}[/]")
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(f"  {escape(name)}", escape(value))
    console.print(table, highlight=False)


def _object_name(header: Header | Remains) -> str:
    """Name modality and SOP class in few words: an image for presentation is what is ordinary."""
    name = UID(header.sop_class_uid or "no SOP class").name.replace(" - For Presentation", "")
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


def _remaining_rows(header: Remains) -> list[tuple[str, str]]:
    size = f"{header.rows} × {header.columns}" if header.rows is not None and header.columns is not None else None
    sop_class, syntax = header.sop_class_uid, header.transfer_syntax_uid
    rows = (
        ("modality", header.modality),
        ("SOP class", f"{UID(sop_class).name} ({sop_class})" if sop_class else None),
        ("transfer syntax", f"{UID(syntax).name} ({syntax})"),
        ("body part", header.body_part),
        ("view", header.view_position),
        ("rows × columns", size),
        ("photometric", header.photometric_interpretation),
    )
    return [(name, value or "not found") for name, value in rows]


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
        case "not DICOM":
            return "the node cannot say, because it cannot read this as a DICOM file"
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
        "header": _header_values(found.header),
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


def _header_values(header: Header | Remains | None) -> dict[str, Any] | None:
    if header is None:
        return None
    if isinstance(header, Remains):
        return asdict(header)
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
