"""Routing: the first rule whose conditions all hold decides pipeline, priority, bundles and destinations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from node.db.studies import Order
from node.delivery.destinations import AnyDestination
from node.settings import Rule


@dataclass(frozen=True)
class StudyFacts:
    """What the rules may look at. `None` is unknown."""

    calling_ae_title: str
    modality: str
    descriptions: tuple[str, ...]
    age_years: float | None


def route(facts: StudyFacts, rules: Sequence[Rule], destinations: Mapping[str, AnyDestination]) -> Order | None:
    """Return what to do with a study, or None when no rule asks for an analysis."""
    for rule in rules:
        if _matches(rule, facts):
            if rule.pipeline == "none":
                return None
            return Order(
                rule=rule.name,
                priority=rule.priority,
                bundles=rule.bundles,
                destinations=rule.destinations if rule.destinations is not None else sorted(destinations),
            )
    return None


def _matches(rule: Rule, facts: StudyFacts) -> bool:
    if rule.calling_ae_title and facts.calling_ae_title not in rule.calling_ae_title:
        return False
    if rule.modality and facts.modality not in rule.modality:
        return False
    if rule.description is not None and not any(
        re.search(rule.description, text, re.IGNORECASE) for text in facts.descriptions
    ):
        return False
    if rule.age_years is not None:
        first, last = rule.age_years
        return facts.age_years is not None and first <= facts.age_years < last
    return True
