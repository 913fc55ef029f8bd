"""What measurement groups of the report are made of, whatever they speak of."""

from __future__ import annotations

from dataclasses import dataclass

from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    MeasurementsAndQualitativeEvaluations,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    RelationshipTypeValues,
    TextContentItem,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)

from models.values.codes import Code
from models.values.findings import BundleIdentity, NotComputedReason
from node.reasons import Reason
from workers.results.parts import equipment
from workers.results.request import ResultRequest
from workers.results.text import vocabulary
from workers.results.text.vocabulary import concept, reason_code

Group = (
    MeasurementsAndQualitativeEvaluations
    | PlanarROIMeasurementsAndQualitativeEvaluations
    | VolumetricROIMeasurementsAndQualitativeEvaluations
)

_CONTAINS = RelationshipTypeValues.CONTAINS


@dataclass(frozen=True)
class SegmentReference:
    """Where a segment is stored: the SEG's UIDs and the number of the segment in it."""

    sop_class_uid: str
    sop_instance_uid: str
    number: int


def algorithm_of(request: ResultRequest, bundle: BundleIdentity) -> AlgorithmIdentification:
    """Return the items of TID 4019 for a bundle."""
    return equipment.group_algorithm(equipment.algorithm(bundle, request.configuration_digest))


def evaluation(name: Code, value: Code) -> QualitativeEvaluation:
    """Return a coded answer of a measurement group."""
    return QualitativeEvaluation(concept(name), concept(value))


def reason_answer(reason: Reason | NotComputedReason) -> tuple[Code, Code]:
    """Return a reason as question and answer."""
    return vocabulary.NOT_COMPUTED_REASON, reason_code(reason)


def say(group: Group, name: Code, text: str) -> None:
    """Add a sentence to a group; an empty one is not added."""
    words = " ".join(text.split())
    if words:
        group[0].ContentSequence.append(TextContentItem(concept(name), words, relationship_type=_CONTAINS))


def code_item(name: Code, value: Code) -> CodeContentItem:
    """Return a coded answer outside a measurement group (TID 1500 row 13)."""
    return CodeContentItem(concept(name), concept(value), relationship_type=_CONTAINS)
