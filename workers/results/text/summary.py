"""The result as plain values for people and programs: JSON that a job keeps and the command line prints.

Holds UIDs and findings, and no attribute of the patient.
"""

from __future__ import annotations

from models.values.codes import ANATOMICAL_STRUCTURE, Code
from models.values.findings import (
    Box,
    BundleIdentity,
    Decision,
    Finding,
    ImageFindings,
    Measurement,
    NotComputed,
    NotComputedReason,
    Segment,
    SegmentationEmpty,
)
from node.reasons import Reason
from workers.results.request import ResultRequest
from workers.results.sources.source import Source
from workers.results.text.quality import QualityNote, observations
from workers.results.text.summary_form import (
    AlgorithmSummary,
    BoxSummary,
    FindingSummary,
    GateSummary,
    ImageSummary,
    MeasurementSummary,
    NotComputedSummary,
    QualitySummary,
    SaidReason,
    SegmentationEmptySummary,
    SeriesPart,
    StructureSummary,
    Summary,
)
from workers.results.text.vocabulary import reason_code
from workers.results.text.wording import (
    RESEARCH_ONLY,
    display_name,
    reference_notes,
    spacing_notes,
    study_lines,
    study_status,
)


def summary(request: ResultRequest) -> Summary:
    """Return the whole result."""
    by_uid = {source.uid: source for source in request.sources}
    return {
        "status": study_status(request).meaning,
        "notice": RESEARCH_ONLY,
        "study_instance_uid": request.study_instance_uid,
        "revision": request.revision,
        "created_at": request.created_at.isoformat(),
        "configuration_digest": request.configuration_digest,
        "algorithms": [_algorithm(bundle, request) for bundle in request.bundles],
        "images": [_image(image, by_uid.get(image.sop_instance_uid)) for image in request.images],
        "declined": [
            {"sop_instance_uid": d.sop_instance_uid, **_reason(d.reason), "detail": d.detail} for d in request.declined
        ],
        "text": study_lines(request, request.sources),
        **_series(request),
    }


def _series(request: ResultRequest) -> SeriesPart:
    """Return what was found in series; nothing where the study was not analysed by series."""
    if not request.series and not request.declined_series:
        return {}
    return {
        "series": [
            {
                "series_instance_uid": found.series_instance_uid,
                "slices": len(found.slices),
                "label": display_name(found.findings.label.name),
                "code": _code(found.findings.label.code.to_code()),
                "found": bool(found.findings.mask.any()),
                "volume_ml": float(found.findings.volume_ml),
                "notes": list(found.findings.notes),
                "bundle": found.findings.bundle.name,
            }
            for found in request.series
        ],
        "declined_series": [
            {
                "series_instance_uid": declined.series_instance_uid,
                "images": len(declined.images),
                **_reason(declined.reason),
                "detail": declined.detail,
            }
            for declined in request.declined_series
        ],
    }


def _algorithm(bundle: BundleIdentity, request: ResultRequest) -> AlgorithmSummary:
    use = next((use for use in request.intended_use if use.bundle_name == bundle.name), None)
    return {
        "name": bundle.name,
        "version": bundle.version,
        "digest": bundle.digest,
        "shipped_digest": bundle.shipped_digest or bundle.digest,
        "intended_use": None if use is None else use.text,
        "intended_age_years": None if use is None else [use.age_years_from, use.age_years_below],
        "intended_views": None if use is None else list(use.views),
    }


def _image(image: ImageFindings, source: Source | None) -> ImageSummary:
    gate: GateSummary = {"passed": image.gate.passed, "detail": image.gate.detail}
    if image.gate.reason is not None:
        gate = {**gate, **_reason(image.gate.reason)}
    return {
        "sop_instance_uid": image.sop_instance_uid,
        "gate": gate,
        "findings": [_finding(finding) for finding in image.findings],
        "structures": [_structure(segment) for segment in image.segments],
        "measurements": [_measurement(measurement) for measurement in image.measurements],
        "heart_box": None if image.heart_box is None else _box(image.heart_box),
        "not_outlined": [_segmentation_empty(item) for item in image.segmentation_empty],
        "not_computed": [_not_computed(item) for item in image.not_computed],
        "quality": [] if source is None else [_observation(seen) for seen in observations(image, source)],
        "pixel_notes": [*image.pixel_notes, *(() if source is None else spacing_notes(image, source))],
        "notes": [] if source is None else list(reference_notes(source, image)),
    }


def _finding(finding: Finding) -> FindingSummary:
    return {
        "label": display_name(finding.label),
        "code": _code(finding.code),
        "decision": finding.decision.value,
        "present": finding.decision is Decision.PRESENT,
        "laterality": _side(finding.laterality),
        "probability": float(finding.probability),
        "threshold": float(finding.threshold),
        "threshold_rule": finding.threshold_rule,
        "doubt": None
        if finding.indeterminate_range is None
        else [float(limit) for limit in finding.indeterminate_range],
        "bundle": finding.bundle.name,
    }


def _observation(seen: QualityNote) -> QualitySummary:
    return {
        "name": None if seen.name is None else seen.name.meaning,
        "answer": None if seen.answer is None else seen.answer.meaning,
        "text": seen.text,
        "matters": seen.matters,
    }


def _structure(segment: Segment) -> StructureSummary:
    return {
        "label": display_name(segment.label),
        "code": _code(segment.property_type),
        "category": segment.property_category.meaning,
        "is_disease": segment.property_category != ANATOMICAL_STRUCTURE,
        "laterality": _side(segment.laterality),
        "pixels": int(segment.mask.sum()),
        "bundle": segment.bundle.name,
    }


def _measurement(measurement: Measurement) -> MeasurementSummary:
    return {
        "label": display_name(measurement.label),
        "code": _code(measurement.code),
        "value": float(measurement.value),
        "unit": measurement.unit.meaning,
        "laterality": _side(measurement.laterality),
        "extents": [[{"row": point.row, "column": point.column} for point in extent] for extent in measurement.extents],
        "bundle": measurement.bundle.name,
    }


def _segmentation_empty(item: SegmentationEmpty) -> SegmentationEmptySummary:
    return {"label": display_name(item.label), "bundle": item.bundle.name, "detail": item.detail}


def _not_computed(item: NotComputed) -> NotComputedSummary:
    return {
        "label": display_name(item.label),
        "bundle": item.bundle.name,
        **_reason(item.reason),
        "detail": item.detail,
    }


def _box(box: Box) -> BoxSummary:
    return {"x0": box.x0, "y0": box.y0, "x1": box.x1, "y1": box.y1}


def _code(code: Code) -> str:
    return f"{code.value} {code.scheme}"


def _side(laterality: Code | None) -> str | None:
    """Return the side; None is unknown, or the thing has none."""
    return None if laterality is None else laterality.meaning.lower()


def _reason(reason: Reason | NotComputedReason) -> SaidReason:
    return {"reason": reason.value, "meaning": reason_code(reason).meaning}
