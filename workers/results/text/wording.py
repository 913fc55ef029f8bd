"""A result in words: the same sentences stand in the report, in the summary and on the picture.

Numbers are rounded to what a reader can use; the coded items of the report keep their full values. The sentences
themselves, and their languages, are in `workers.results.text.languages`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models.values.codes import (
    ANATOMICAL_STRUCTURE,
    BILATERAL,
    CARDIOTHORACIC_RATIO,
    HEART,
    LEFT,
    MILLILITRE,
    MILLIMETRE,
    PERCENT,
    PIXEL,
    RATIO,
    RIGHT,
    SQUARE_CENTIMETRE,
    SQUARE_PIXEL,
    THORAX,
    VOLUME,
    WIDTH,
    Code,
)
from models.values.findings import (
    Box,
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
from workers.results.request import DeclinedImage, ResultRequest, SeriesFindings, UseStatement
from workers.results.sources.source import Source, bare_name
from workers.results.text import quality, vocabulary
from workers.results.text.languages.language import ENGLISH, Language
from workers.results.text.languages.sentences import Sentence
from workers.results.text.vocabulary import reason_code

RESEARCH_ONLY = Sentence.RESEARCH_ONLY.value

NO_ROOM = "There is no room for more here: the structured report has it all."
"""Said on a picture or page in the place of words that do not fit."""

ADULT_THORAX_MM = (180.0, 450.0)
"""What the transverse thoracic diameter of an adult may be, magnified or not."""

_FORMAT = {RATIO: ".2f", MILLIMETRE: ".0f", SQUARE_CENTIMETRE: ".0f", SQUARE_PIXEL: ",.0f", PERCENT: ".1f"}
_UNITS = {SQUARE_CENTIMETRE: "cm²"}
"""How a unit is written for people, where that is not its code's meaning."""
_PROBABILITY = ".3f"
_SIDES = {BILATERAL: Sentence.ON_BOTH_SIDES, RIGHT: Sentence.ON_THE_RIGHT, LEFT: Sentence.ON_THE_LEFT}
_DECISIONS = {
    Decision.PRESENT: Sentence.FINDING_PRESENT,
    Decision.ABSENT: Sentence.FINDING_ABSENT,
    Decision.INDETERMINATE: Sentence.FINDING_INDETERMINATE,
}
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


def name_of(label: str, words: Language = ENGLISH) -> str:
    """Return a label of a bundle as people read it in their language, part by part."""
    return ", ".join(map(words.term, display_name(label).split(", ")))


def capital(text: str) -> str:
    """Return the text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """Return the text as a sentence, with a capital and a full stop; an empty one stays empty."""
    words = " ".join(text.split())
    return capital(words) if not words or words[-1] in ".!?" else f"{capital(words)}."


def finding_sentence(finding: Finding, words: Language = ENGLISH) -> str:
    """Return the finding in words."""
    low, high = finding.indeterminate_range or (0.0, 0.0)
    return words.say(
        _DECISIONS[finding.decision],
        name=name_of(finding.label, words),
        where="" if finding.laterality is None else f" {on_side(finding.laterality, words)}",
        probability=words.number(finding.probability, _PROBABILITY),
        threshold=words.number(finding.threshold, _PROBABILITY),
        low=words.number(low, _PROBABILITY),
        high=words.number(high, _PROBABILITY),
    )


def doubt_sentence(finding: Finding, words: Language = ENGLISH) -> str:
    """Return in which range the threshold is uncertain, or nothing where that is not known."""
    if finding.indeterminate_range is None:
        return ""
    low, high = (words.number(limit, _PROBABILITY) for limit in finding.indeterminate_range)
    return words.say(Sentence.DOUBT, low=low, high=high)


def on_side(laterality: Code, words: Language = ENGLISH) -> str:
    """Return a side in words (PS3.16 CID 244)."""
    for side, known in _SIDES.items():
        if laterality.names(side):
            return words.say(known)
    return words.say(Sentence.ON_ANOTHER_SIDE, side=laterality.meaning.lower())


def label_of(segment: Segment, words: Language = ENGLISH) -> str:
    """Return what is written beside the colour of a segment; the side of a disease is no part of its name."""
    name = name_of(segment.label, words)
    if segment.laterality is None or segment.property_category == ANATOMICAL_STRUCTURE:
        return name
    return f"{name} {on_side(segment.laterality, words)}"


def segmentation_empty_sentence(item: SegmentationEmpty, words: Language = ENGLISH) -> str:
    """Return in words that a disease was found and no region of it."""
    detail = words.detail(item.detail)
    name = name_of(item.label, words)
    return words.say(Sentence.NOT_OUTLINED, name=name, detail=f" ({detail})" if detail else "")


def not_computed_sentence(item: NotComputed, words: Language = ENGLISH) -> str:
    """Return in words what was not computed, and why."""
    return words.say(Sentence.NOT_COMPUTED, name=name_of(item.label, words), reason=reason_text(item.reason, words))


def reason_text(reason: Reason | NotComputedReason, words: Language = ENGLISH) -> str:
    """Return a reason in words."""
    return words.term(reason_code(reason).meaning)


def measurement_sentence(measurement: Measurement, words: Language = ENGLISH) -> str:
    """Return the measurement in words."""
    return words.say(Sentence.MEASUREMENT, name=name_of(measurement.label, words), amount=_amount(measurement, words))


def extent_sentence(measurement: Measurement, words: Language = ENGLISH) -> str:
    """Return in words where a measurement begins and ends; nothing where it has no extents."""
    if measurement.code == CARDIOTHORACIC_RATIO:
        return words.say(Sentence.RATIO_OF, name=name_of(measurement.label, words))
    lines = [
        words.say(
            Sentence.ENDS,
            name=name_of(measurement.label, words),
            column_1=words.number(first.column, ".1f"),
            row_1=words.number(first.row, ".1f"),
            column_2=words.number(last.column, ".1f"),
            row_2=words.number(last.row, ".1f"),
        )
        for first, last in measurement.extents
    ]
    return " ".join(map(sentence, lines))


def box_sentence(box: Box, words: Language = ENGLISH) -> str:
    """Return the box of the heart in words; the last column and row are within it, counted from 1 as in DICOM."""
    return words.say(Sentence.HEART_BOX, x0=box.x0 + 1, x1=box.x1, y0=box.y0 + 1, y1=box.y1)


def is_implausible(measurement: Measurement, source: Source) -> bool:
    """Return whether a measurement shows that the pixel spacing may be wrong."""
    low, high = ADULT_THORAX_MM
    of_thorax = (measurement.code, measurement.finding_site, measurement.unit) == (WIDTH, THORAX, MILLIMETRE)
    return of_thorax and not source.is_child and not low <= measurement.value <= high


def implausible_sentence(measurement: Measurement, words: Language = ENGLISH) -> str:
    """Return what is wrong with an implausible measurement."""
    name, amount = name_of(measurement.label, words), _amount(measurement, words)
    return words.say(Sentence.IMPLAUSIBLE_MEASUREMENT, name=name, amount=amount)


def spacing_notes(image: ImageFindings, source: Source, words: Language = ENGLISH) -> tuple[str, ...]:
    """Return what the pixel spacing of the source means for the lengths and areas of an image."""
    in_space = any(m.unit in (MILLIMETRE, SQUARE_CENTIMETRE) for m in image.measurements)
    in_pixels = any(m.unit in (PIXEL, SQUARE_PIXEL) for m in image.measurements)
    return (
        *((words.say(Sentence.AT_THE_DETECTOR),) if in_space and not source.spacing_is_calibrated else ()),
        *((words.say(Sentence.IN_PIXELS),) if in_pixels else ()),
        *(implausible_sentence(m, words) for m in image.measurements if is_implausible(m, source)),
    )


def reference_notes(source: Source, image: ImageFindings | None = None, words: Language = ENGLISH) -> tuple[str, ...]:
    """Return why nothing refers to an image; nothing where it can be referred to."""
    if source.can_be_referenced:
        return ()
    note = words.say(Sentence.NO_REFERENCE, position=source.position)
    if image is None or not image.segments:
        return (note,)
    found = ", ".join(name_of(segment.label, words) for segment in image.segments)
    return note, words.say(Sentence.NOT_STORED, found=found)


def was_analysed(image: ImageFindings) -> bool:
    """Return whether the gate let the image pass and some algorithm was intended for it."""
    computed = image.findings or image.segments or image.measurements
    return image.gate.passed and bool(computed or not image.not_computed)


def study_status(request: ResultRequest) -> Code:
    """Return how the analysis of the study went (PS3.16 CID 6042).

    An image that was not analysed makes it partial. An algorithm that is not intended for an image, or has nothing to
    outline there, does not: it was rightly not run.
    """
    analysed = [image for image in request.images if was_analysed(image)]
    excluded = len(request.declined) + len(request.images) - len(analysed)
    excluded += sum(item.reason not in _RIGHTLY_NOT_RUN for image in analysed for item in image.not_computed)
    excluded += len(request.declined_series)
    if analysed or request.series:
        return vocabulary.PARTIALLY_SUCCEEDED if excluded else vocabulary.SUCCEEDED
    reasons = [declined.reason for declined in request.declined] + [one.reason for one in request.declined_series]
    failed = any(reason in vocabulary.FAILURES for reason in reasons)
    return vocabulary.FAILED if failed else vocabulary.NOT_ATTEMPTED


def study_lines(request: ResultRequest, sources: Sequence[Source], words: Language = ENGLISH) -> list[str]:
    """Return the result in sentences: one for each finding, measurement, doubt about the image, and declined image.

    Parameters
    ----------
    sources
        Every image of the study whose header could be read; they are named where there is more than one image.
    """
    by_uid = {source.uid: source for source in sources}
    said = [(_name(i, by_uid, words), _image_lines(i, by_uid.get(i.sop_instance_uid), words)) for i in request.images]
    said += [
        (_name(d, by_uid, words), _declined_lines(d.reason, by_uid.get(d.sop_instance_uid), words))
        for d in request.declined
    ]
    said += [
        (series_name(found.series_instance_uid, sources, words), series_lines(found, words)) for found in request.series
    ]
    said += [
        (series_name(declined.series_instance_uid, sources, words), _declined_lines(declined.reason, None, words))
        for declined in request.declined_series
    ]
    lines_of_images = [
        words.say(Sentence.OF_IMAGE, image=capital(name), text=line) if len(said) > 1 else capital(line)
        for name, lines in said
        for line in lines
    ]
    if request.assumed_age_years is None:
        return lines_of_images
    return [sentence(words.say(Sentence.AGE_ASSUMED, age=f"{request.assumed_age_years:g}")), *lines_of_images]


def _name(image: ImageFindings | DeclinedImage, by_uid: Mapping[str, Source], words: Language) -> str:
    return image_name(image.sop_instance_uid, by_uid, words)


def series_name(series_instance_uid: str, sources: Sequence[Source], words: Language = ENGLISH) -> str:
    """Return how people find a series in a viewer: by its number, or else by its UID."""
    own = (source for source in sources if source.series_instance_uid == series_instance_uid)
    number = next((source.header.get("SeriesNumber") for source in own), None)
    return f"{words.term('series')} {number or series_instance_uid}"


def series_lines(found: SeriesFindings, words: Language = ENGLISH) -> list[str]:
    """Return what was found in a series, and what a reader must know of it."""
    findings = found.findings
    if not findings.mask.any():
        first = words.say(Sentence.NOT_FOUND_IN_SERIES, name=name_of(findings.label.name, words))
    else:
        first = measurement_sentence(volume_of(found), words)
    return [first, *(sentence(words.detail(note)) for note in findings.notes)]


def volume_of(found: SeriesFindings) -> Measurement:
    """Return the volume of what was found in a series."""
    findings = found.findings
    label = f"{findings.label.name}, volume"
    return Measurement(label, VOLUME, findings.volume_ml, MILLILITRE, HEART, None, findings.bundle)


def intended_use_sentence(use: UseStatement, words: Language = ENGLISH) -> str:
    """Return for whom an algorithm is, after the statement of its maker: in this language where the manifest has it."""
    said = [sentence(f"{use.bundle_name}: {use.translations.get(words.code.value, use.text)}")]
    if use.age_years_from is not None:
        ages = Sentence.INTENDED_AGES_FROM if use.age_years_below is None else Sentence.INTENDED_AGES_BETWEEN
        end = "" if use.age_years_below is None else words.number(use.age_years_below, "g")
        said.append(sentence(words.say(ages, first=words.number(use.age_years_from, "g"), end=end)))
    if use.views:
        said.append(sentence(words.say(Sentence.INTENDED_VIEWS, views=", ".join(use.views))))
    # A bundle's name is no word: it keeps its small letter.
    return use.bundle_name + " ".join(said)[len(use.bundle_name) :]


def limits(algorithms: Sequence[str], words: Language = ENGLISH) -> str:
    """Return the statement that stands in every report, with the names of the algorithms behind it."""
    return words.say(
        Sentence.LIMITS,
        research_only=words.say(Sentence.RESEARCH_ONLY),
        algorithms=", ".join(algorithms),
    )


def image_name(uid: str, by_uid: Mapping[str, Source], words: Language) -> str:
    """Return the name of an image; its few words are terms."""
    name = by_uid[uid].name if uid in by_uid else bare_name(uid)
    for part in ("series", "image", "UID ending in"):
        name = name.replace(part, words.term(part))
    return name


def _amount(measurement: Measurement, words: Language) -> str:
    unit = "" if measurement.unit == RATIO else f" {words.term(_UNITS.get(measurement.unit, measurement.unit.meaning))}"
    return f"{words.number(measurement.value, _FORMAT.get(measurement.unit, ',.1f'))}{unit}"


def _declined_lines(reason: Reason, source: Source | None, words: Language) -> list[str]:
    notes = () if source is None else reference_notes(source, None, words)
    return [words.say(Sentence.NOT_ANALYSED, reason=reason_text(reason, words)), *map(sentence, notes)]


def _image_lines(image: ImageFindings, source: Source | None, words: Language) -> list[str]:
    notes: list[str] = []
    if source is not None:
        notes += reference_notes(source, image, words)
        notes += spacing_notes(image, source, words)
        notes += [seen.text for seen in quality.observations(image, source, words) if seen.matters]
    if image.gate.reason is not None:
        first = words.say(Sentence.NOT_ANALYSED, reason=reason_text(image.gate.reason, words))
        return [first, *map(sentence, notes)]
    lines = [finding_sentence(finding, words) for finding in image.findings]
    lines += [measurement_sentence(measurement, words) for measurement in image.measurements]
    lines += [] if image.heart_box is None else [box_sentence(image.heart_box, words)]
    lines += [segmentation_empty_sentence(item, words) for item in image.segmentation_empty]
    lines += [not_computed_sentence(item, words) for item in image.not_computed]
    return [*(lines or [words.say(Sentence.ANALYSED_NOTHING_ASKED)]), *map(sentence, notes)]
