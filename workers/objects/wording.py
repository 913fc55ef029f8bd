"""A result in words: the same sentences stand in the report, in the summary and on the picture.

Numbers are rounded to what a reader can use; the coded items of the report keep their full values.
"""

from __future__ import annotations

from collections.abc import Sequence

from models.codes import BILATERAL, MILLIMETRE, PERCENT, RATIO, SQUARE_CENTIMETRE, SQUARE_PIXEL, THORAX, WIDTH, Code
from models.findings import Box, Finding, ImageFindings, Measurement, NotComputedReason, NotOutlined
from node.reasons import Reason
from workers.objects import equipment, vocabulary
from workers.objects.request import ResultRequest
from workers.objects.source import Source, bare_name
from workers.objects.vocabulary import reason_code

AT_THE_DETECTOR = "lengths and areas are at the detector, not calibrated for magnification"
IMPLAUSIBLE = "implausible: the pixel spacing of the source may be wrong"
NO_REFERENCE = "it cannot be referenced because its UID is not valid"

ADULT_THORAX_MM = (180.0, 450.0)
"""What the transverse thoracic diameter of an adult may be, magnified or not."""

_FORMAT = {RATIO: ".2f", MILLIMETRE: ".0f", SQUARE_CENTIMETRE: ".0f", SQUARE_PIXEL: ",.0f", PERCENT: ".1f"}
_RIGHTLY_NOT_RUN = frozenset(
    {
        NotComputedReason.AGE_OUTSIDE_INTENDED_USE,
        NotComputedReason.AGE_UNKNOWN,
        NotComputedReason.VIEW_OUTSIDE_INTENDED_USE,
        NotComputedReason.NOT_FOUND_BY_CLASSIFIER,
    }
)


def display_name(label: str) -> str:
    """Return a label of a bundle as people read it: `right-lung` becomes `Right lung`."""
    return capital(label.replace("-", " ").replace("_", " ") if label == label.lower() else label)


def capital(text: str) -> str:
    """Return the text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """Return the text as a sentence, with a capital and a full stop; an empty one stays empty."""
    words = " ".join(text.split())
    return capital(words) if not words or words[-1] in ".!?" else f"{capital(words)}."


def finding_sentence(finding: Finding) -> str:
    """Return the finding in words."""
    relation = "at or above" if finding.present else "below"
    answer = (vocabulary.PRESENT if finding.present else vocabulary.ABSENT).meaning.lower()
    probability, threshold = f"{finding.probability:.3f}", f"{finding.threshold:.3f}"
    where = "" if finding.laterality is None else f" {on_side(finding.laterality)}"
    numbers = f"probability {probability}, {relation} the threshold {threshold}"
    return f"{display_name(finding.label)}: {answer}{where} ({numbers})"


def on_side(laterality: Code) -> str:
    """Return a side in words (PS3.16 CID 244)."""
    return "on both sides" if laterality.names(BILATERAL) else f"on the {laterality.meaning.lower()}"


def not_outlined_sentence(item: NotOutlined) -> str:
    """Return in words that a disease was found and no region of it."""
    return f"{display_name(item.label)}: no region was outlined ({item.detail})"


def measurement_sentence(measurement: Measurement) -> str:
    """Return the measurement in words."""
    return f"{display_name(measurement.label)}: {_amount(measurement)}"


def box_sentence(box: Box) -> str:
    """Return the box of the heart in words; the last column and row are within it, counted from 1 as in DICOM."""
    return f"Heart box: columns {box.x0 + 1} to {box.x1}, rows {box.y0 + 1} to {box.y1} of the source image"


def implausible(measurement: Measurement, source: Source) -> str:
    """Return what is wrong with a measurement, or nothing."""
    low, high = ADULT_THORAX_MM
    of_thorax = (measurement.code, measurement.finding_site, measurement.unit) == (WIDTH, THORAX, MILLIMETRE)
    return IMPLAUSIBLE if of_thorax and not source.is_child and not low <= measurement.value <= high else ""


def spacing_notes(image: ImageFindings, source: Source) -> tuple[str, ...]:
    """Return what the pixel spacing of the source means for the lengths and areas of an image."""
    in_space = any(m.unit in (MILLIMETRE, SQUARE_CENTIMETRE) for m in image.measurements)
    doubtful = [m for m in image.measurements if implausible(m, source)]
    return (
        *((AT_THE_DETECTOR,) if in_space and not source.spacing_is_calibrated else ()),
        *(f"{display_name(m.label)} of {_amount(m)} is {IMPLAUSIBLE}" for m in doubtful),
    )


def reference_notes(source: Source, image: ImageFindings | None = None) -> tuple[str, ...]:
    """Return why nothing refers to an image; nothing where it can be referred to."""
    if source.can_be_referenced:
        return ()
    note = f"image {source.position} of the study; {NO_REFERENCE}"
    if image is None or not image.segments:
        return (note,)
    found = ", ".join(display_name(segment.label).lower() for segment in image.segments)
    return note, f"found but not stored as a segmentation, which would have to reference the image: {found}"


def was_analysed(image: ImageFindings) -> bool:
    """Whether the gate let the image pass and some algorithm was intended for it."""
    computed = image.findings or image.segments or image.measurements
    return image.gate.passed and bool(computed or not image.not_computed)


def study_status(request: ResultRequest) -> Code:
    """Return how the analysis of the study went (PS3.16 CID 6042).

    An image left out makes it partial. An algorithm that is not intended for an image, or has nothing to outline there,
    does not: it was rightly not run.
    """
    analysed = [image for image in request.images if was_analysed(image)]
    left_out = len(request.declined) + len(request.images) - len(analysed)
    left_out += sum(item.reason not in _RIGHTLY_NOT_RUN for image in analysed for item in image.not_computed)
    if analysed:
        return vocabulary.PARTIALLY_SUCCEEDED if left_out else vocabulary.SUCCEEDED
    failed = any(declined.reason is Reason.ANALYSIS_FAILED for declined in request.declined)
    return vocabulary.FAILED if failed else vocabulary.NOT_ATTEMPTED


def study_lines(request: ResultRequest, sources: Sequence[Source]) -> list[str]:
    """Return the result in sentences: one for each finding, measurement and image left out.

    Parameters
    ----------
    sources
        Every image of the study whose header could be read; they are named where there is more than one image.
    """
    by_uid = {source.uid: source for source in sources}
    several = len(request.images) + len(request.declined) > 1
    said = [(i.sop_instance_uid, _image_lines(i, by_uid.get(i.sop_instance_uid))) for i in request.images]
    said += [(d.sop_instance_uid, _declined_lines(d.reason, by_uid.get(d.sop_instance_uid))) for d in request.declined]
    return [
        f"{capital(_name(uid, by_uid))}: {line}" if several else capital(line) for uid, lines in said for line in lines
    ]


def limits(request: ResultRequest) -> str:
    """Return the statement that stands in every report."""
    names = ", ".join(f"{a.model_name} {a.version}" for a in equipment.algorithms(request))
    return (
        f"{equipment.RESEARCH_ONLY}. Preliminary, made by software ({names}) and not reviewed by a person. "
        "It may miss findings and may be wrong; what is not listed was not looked for."
    )


def _amount(measurement: Measurement) -> str:
    unit = "" if measurement.unit == RATIO else f" {measurement.unit.meaning}"
    return f"{measurement.value:{_FORMAT.get(measurement.unit, ',.1f')}}{unit}"


def _name(uid: str, by_uid: dict[str, Source]) -> str:
    return by_uid[uid].name if uid in by_uid else bare_name(uid)


def _declined_lines(reason: Reason, source: Source | None) -> list[str]:
    notes = () if source is None else reference_notes(source)
    return [f"not analysed: {reason_code(reason).meaning}.", *map(sentence, notes)]


def _image_lines(image: ImageFindings, source: Source | None) -> list[str]:
    notes = () if source is None else (*reference_notes(source, image), *spacing_notes(image, source))
    if image.gate.reason is not None:
        return [f"not analysed: {reason_code(image.gate.reason).meaning}.", *map(sentence, notes)]
    lines = [finding_sentence(finding) for finding in image.findings]
    lines += [measurement_sentence(measurement) for measurement in image.measurements]
    lines += [] if image.heart_box is None else [box_sentence(image.heart_box)]
    lines += [not_outlined_sentence(item) for item in image.not_outlined]
    not_computed = [
        f"{display_name(item.label)} not computed: {reason_code(item.reason).meaning}." for item in image.not_computed
    ]
    return [*(lines + not_computed or ["analysed; no finding was asked for."]), *map(sentence, notes)]
