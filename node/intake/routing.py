"""Routing: the first rule whose conditions all hold decides pipeline, priority, bundles and destinations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from node.db.studies import RoutingDecision
from node.delivery.destinations import AnyDestination
from node.dicom.header import Header
from node.pipelines import EdgePipeline, named
from node.settings import DEFAULT_PIPELINE, NO_PIPELINE, Rule


@dataclass(frozen=True)
class StudyFacts:
    """What the rules may look at. `None` is unknown."""

    calling_ae_title: str
    modality: str
    descriptions: tuple[str, ...]
    age_years: float | None

    @classmethod
    def of(cls, header: Header | None, calling_ae_title: str) -> StudyFacts:
        """Take the facts from the header of an image; None: no image of the study can be read."""
        if header is None:
            return cls(calling_ae_title, "", (), None)
        descriptions = tuple(text for text in (header.study_description, header.series_description) if text)
        return cls(calling_ae_title, header.modality or "", descriptions, header.age_years)


def route(
    facts: StudyFacts, rules: Sequence[Rule], destinations: Mapping[str, AnyDestination]
) -> RoutingDecision | None:
    """Return what to do with a study, or None when no rule asks for an analysis."""
    rule = matched(facts, rules)
    return None if rule is None or rule.pipeline == NO_PIPELINE else _decision(rule, destinations)


def matched(facts: StudyFacts, rules: Sequence[Rule]) -> Rule | None:
    """Return the first rule that a study meets; None: no rule is met."""
    return next((rule for rule in rules if unmet(rule, facts) is None), None)


def route_unread(
    calling_ae_title: str, rules: Sequence[Rule], destinations: Mapping[str, AnyDestination]
) -> RoutingDecision | None:
    """Return where the answer of a study goes of which no header can be read.

    What a header would say may be anything, so the first rule decides that asks for an analysis and that the sender
    meets, unless one before it wants none whatever the header says.
    """
    for rule in rules:
        if rule.calling_ae_title and calling_ae_title not in rule.calling_ae_title:
            continue
        if rule.pipeline != NO_PIPELINE:
            return _decision(rule, destinations)
        if not rule.modality and rule.description is None and rule.age_years is None:
            return None
    return None


def _decision(rule: Rule, destinations: Mapping[str, AnyDestination]) -> RoutingDecision:
    return RoutingDecision(
        rule=rule.name,
        pipeline=rule.pipeline,
        priority=rule.priority,
        bundles=rule.bundles,
        destinations=rule.destinations if rule.destinations is not None else sorted(destinations),
    )


def pipeline_for(facts: StudyFacts, rules: Sequence[Rule]) -> EdgePipeline:
    """Return the pipeline that judges an image: that of the first rule it meets, or the default where there is none."""
    name = next((rule.pipeline for rule in rules if unmet(rule, facts) is None), DEFAULT_PIPELINE)
    return named(DEFAULT_PIPELINE if name == NO_PIPELINE else name)


def unmet(rule: Rule, facts: StudyFacts) -> str | None:
    """Say which condition of a rule does not hold, the first one, and what is there instead; None: all hold."""
    if rule.calling_ae_title and facts.calling_ae_title not in rule.calling_ae_title:
        found = facts.calling_ae_title or "unknown"
        return f"calling AE Title is {found}, not {_alternatives(rule.calling_ae_title)}"
    if rule.modality and facts.modality not in rule.modality:
        return f"modality is {facts.modality or 'absent'}, not {_alternatives(rule.modality)}"
    if rule.description is not None and not any(
        re.search(rule.description, text, re.IGNORECASE) for text in facts.descriptions
    ):
        found = "neither description has" if facts.descriptions else "no description is given; asked for is"
        return f"{found} {rule.description!r}"
    if rule.age_years is not None:
        first, last = rule.age_years
        if facts.age_years is None:
            return f"age is unknown, not from {first:g} to under {last:g} years"
        if not first <= facts.age_years < last:
            return f"age is {facts.age_years:.1f}, not from {first:g} to under {last:g} years"
    return None


def _alternatives(values: Sequence[str]) -> str:
    return " or ".join(values)
