"""A result in words: the same sentences stand in the report, in the summary and on the picture."""

from __future__ import annotations

from collections.abc import Mapping

from models.codes import RATIO, Code
from models.findings import Finding, ImageFindings, Measurement
from node.reasons import Reason
from workers.objects import equipment, vocabulary
from workers.objects.request import ResultRequest
from workers.objects.source import short_name
from workers.objects.vocabulary import reason_code


def finding_sentence(finding: Finding) -> str:
    """Return the finding in words."""
    relation = "at or above" if finding.present else "below"
    answer = (vocabulary.PRESENT if finding.present else vocabulary.ABSENT).meaning.lower()
    probability, threshold = f"{finding.probability:.3f}", f"{finding.threshold:.3f}"
    return f"{finding.label}: {answer} (probability {probability}, {relation} the threshold {threshold})"


def measurement_sentence(measurement: Measurement) -> str:
    """Return the measurement in words."""
    unit = "" if measurement.unit == RATIO else f" {measurement.unit.meaning}"
    return f"{measurement.label}: {measurement.value:.4g}{unit}"


def study_status(request: ResultRequest) -> Code:
    """Return how the analysis of the study went (PS3.16 CID 6042); anything left out makes it partial."""
    analysed = [image for image in request.images if image.gate.passed]
    left_out = len(request.declined) + len(request.images) - len(analysed)
    left_out += sum(len(image.not_computed) for image in analysed)
    if analysed:
        return vocabulary.PARTIALLY_SUCCEEDED if left_out else vocabulary.SUCCEEDED
    failed = any(declined.reason is Reason.ANALYSIS_FAILED for declined in request.declined)
    return vocabulary.FAILED if failed else vocabulary.NOT_ATTEMPTED


def study_lines(request: ResultRequest, names: Mapping[str, str] | None = None) -> list[str]:
    """Return the result in sentences: one for each finding, measurement and image left out.

    Parameters
    ----------
    names
        What to call each image, by SOP Instance UID; only used where there is more than one.
    """
    several = len(request.images) + len(request.declined) > 1
    lines: list[str] = []
    for image in request.images:
        lines += [_named(line, image.sop_instance_uid, names, several) for line in _image_lines(image)]
    for declined in request.declined:
        line = f"not analysed: {reason_code(declined.reason).meaning}."
        lines.append(_named(line, declined.sop_instance_uid, names, several))
    return lines


def limits(request: ResultRequest) -> str:
    """Return the statement that stands in every report."""
    names = ", ".join(f"{a.model_name} {a.version}" for a in equipment.algorithms(request))
    return (
        f"{equipment.RESEARCH_ONLY}. Preliminary, made by software ({names}) and not reviewed by a person. "
        "It may miss findings and may be wrong; what is not listed was not looked for."
    )


def _named(line: str, uid: str, names: Mapping[str, str] | None, several: bool) -> str:
    if not several:
        return line[0].upper() + line[1:]
    name = (names or {}).get(uid) or short_name(uid)
    return f"{name[0].upper()}{name[1:]}: {line}"


def _image_lines(image: ImageFindings) -> list[str]:
    if image.gate.reason is not None:
        return [f"not analysed: {reason_code(image.gate.reason).meaning}."]
    lines = [finding_sentence(finding) for finding in image.findings]
    lines += [measurement_sentence(measurement) for measurement in image.measurements]
    lines += [f"{item.label} not computed: {reason_code(item.reason).meaning}." for item in image.not_computed]
    return lines or ["analysed; no finding was asked for."]
