"""Measurement groups of the report: PS3.16 TID 1501 for an image, TID 1410 for a segment.

Every finding is said in plain coded, numeric and text items of its own group. Nothing rests on coordinates alone, which
viewers do not draw (OHIF #5082).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from highdicom.sr import (
    CoordinatesForMeasurement,
    FindingSite,
    MeasurementsAndQualitativeEvaluations,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    ReferencedSegmentationFrame,
    RelationshipTypeValues,
    SourceImageForMeasurement,
    SourceImageForMeasurementGroup,
    SourceImageForSegmentation,
    TrackingIdentifier,
)
from highdicom.sr import Measurement as NumberItem
from pydicom.dataset import Dataset

from models.values.catalogue import site_of
from models.values.codes import AREA, HEART, PART_OF_LUNG, PROBABILITY_UNIT, Code
from models.values.findings import (
    BundleIdentity,
    Decision,
    Finding,
    ImageFindings,
    Measurement,
    NotComputed,
    Segment,
    SegmentationEmpty,
)
from workers.results.parts.coordinates import coordinates
from workers.results.parts.group_items import Group, SegmentReference, algorithm_of, evaluation, reason_answer, say
from workers.results.parts.identity import derived_uid, tracking_id, tracking_uid
from workers.results.request import DeclinedImage, ResultRequest
from workers.results.sources.source import Source, bare_name
from workers.results.text import quality, vocabulary
from workers.results.text.languages.language import ENGLISH, Language
from workers.results.text.languages.sentences import Sentence
from workers.results.text.threshold_rules import rule_text
from workers.results.text.vocabulary import concept
from workers.results.text.wording import (
    box_sentence,
    display_name,
    doubt_sentence,
    extent_sentence,
    finding_sentence,
    implausible_sentence,
    is_implausible,
    measurement_sentence,
    not_computed_sentence,
    reason_text,
    reference_notes,
    segmentation_empty_sentence,
    sentence,
    spacing_notes,
    was_analysed,
)

_CONTAINS = RelationshipTypeValues.CONTAINS
_DECIMALS = 6
_DECISIONS = {
    Decision.PRESENT: vocabulary.PRESENT,
    Decision.ABSENT: vocabulary.ABSENT,
    Decision.INDETERMINATE: vocabulary.UNDETERMINED,
}


def image_groups(
    request: ResultRequest,
    image: ImageFindings,
    source: Source,
    references: Sequence[SegmentReference],
    words: Language = ENGLISH,
) -> list[Group]:
    """Return every group of one analysed image.

    `references` has one entry for each of its segments, and none where they are not stored as a Segmentation.
    """
    subject = _Subject(request, source, image.sop_instance_uid, words)
    segments = image.segments if references else ()
    in_segments = {id(m) for segment in segments for m in _areas(image, segment)}
    others = [m for m in image.measurements if id(m) not in in_segments]
    return [
        _gate(subject, image),
        _quality(subject, image, source),
        *(_finding(subject, finding) for finding in image.findings),
        *(_segment(subject, image, s, r) for s, r in zip(segments, references, strict=True)),
        *(_measured(subject, measurement) for measurement in others),
        *(_segmentation_empty(subject, item) for item in image.segmentation_empty),
        *(_not_computed(subject, item) for item in image.not_computed),
    ]


def declined_group(
    request: ResultRequest, source: Source | None, declined: DeclinedImage, words: Language = ENGLISH
) -> MeasurementsAndQualitativeEvaluations:
    """Return the group of an image that the networks never saw, or failed on; `source` is None if it cannot be read."""
    subject, reason = _Subject(request, source, declined.sop_instance_uid, words), declined.reason
    status = vocabulary.FAILED if reason in vocabulary.FAILURES else vocabulary.NOT_ATTEMPTED
    group = subject.group("analysis", evaluations=[(vocabulary.SUMMARY_OF_ANALYSES, status), reason_answer(reason)])
    why = reason_text(reason, words)
    said = (
        words.say(Sentence.NOT_ANALYSED_UNREADABLE, reason=why, uid=declined.sop_instance_uid)
        if source is None
        else words.say(Sentence.NOT_ANALYSED, reason=why)
    )
    say(group, vocabulary.COMMENT, f"{sentence(said)} {sentence(words.detail(declined.detail))}")
    for note in () if source is None else reference_notes(source, None, words):
        say(group, vocabulary.COMMENT, sentence(note))
    return group


@dataclass(frozen=True)
class _Subject:
    """The image that a group speaks of."""

    request: ResultRequest
    source: Source | None
    image_uid: str
    words: Language

    @property
    def reference(self) -> Source | None:
        """The image where content items may refer to it."""
        return self.source if self.source is not None and self.source.can_be_referenced else None

    def tracking(self, label: str, bundle: BundleIdentity | None = None) -> TrackingIdentifier:
        """Return Tracking Identifier and Tracking Unique Identifier; those of a segment equal its SEG's."""
        study = self.request.study_instance_uid
        uid = (
            tracking_uid(study, self.image_uid, bundle, label)
            if bundle is not None
            else derived_uid("tracking", study, self.image_uid, label)
        )
        name = bare_name(self.image_uid) if self.source is None else self.source.name
        return TrackingIdentifier(uid=uid, identifier=tracking_id(display_name(label), name))

    def group(
        self,
        label: str,
        *,
        bundle: BundleIdentity | None = None,
        finding: Code | None = None,
        numbers: Sequence[NumberItem] = (),
        evaluations: Sequence[tuple[Code, Code]] = (),
        site: FindingSite | None = None,
    ) -> MeasurementsAndQualitativeEvaluations:
        """Return a group of TID 1501 that refers to the image where that can be referred to."""
        source = self.reference
        return MeasurementsAndQualitativeEvaluations(
            tracking_identifier=self.tracking(label, bundle),
            finding_type=None if finding is None else concept(finding),
            algorithm_id=None if bundle is None else algorithm_of(self.request, bundle),
            finding_sites=None if site is None else [site],
            measurements=list(numbers) or None,
            qualitative_evaluations=[evaluation(name, value) for name, value in evaluations] or None,
            source_images=None
            if source is None
            else [SourceImageForMeasurementGroup(source.sop_class_uid, source.uid)],
        )


def _gate(subject: _Subject, image: ImageFindings) -> Group:
    passed, analysed = image.gate.passed, was_analysed(image)
    evaluations = [
        (vocabulary.SUMMARY_OF_ANALYSES, vocabulary.SUCCEEDED if analysed else vocabulary.NOT_ATTEMPTED),
        (vocabulary.GATE, vocabulary.GATE_PASSED if passed else vocabulary.GATE_REFUSED),
    ]
    if image.gate.reason is not None:
        evaluations.append(reason_answer(image.gate.reason))
    group = subject.group("analysis", evaluations=evaluations)
    words, reason = subject.words, image.gate.reason
    if reason is not None:
        said = words.say(Sentence.NOT_ANALYSED, reason=reason_text(reason, words))
    else:
        said = words.say(Sentence.ANALYSED if analysed else Sentence.NOT_INTENDED)
    say(group, vocabulary.COMMENT, f"{sentence(said)} {sentence(words.detail(image.gate.detail))}")
    for note in () if subject.source is None else reference_notes(subject.source, image, words):
        say(group, vocabulary.COMMENT, sentence(note))
    return group


def _quality(subject: _Subject, image: ImageFindings, source: Source) -> Group:
    """Return what is known of the quality of the image, and how its pixels were read."""
    seen = quality.observations(image, source, subject.words)
    group = subject.group(
        "image quality",
        finding=vocabulary.IMAGE_QUALITY,
        evaluations=[(one.name, one.answer) for one in seen if one.name is not None and one.answer is not None],
    )
    for one in seen:
        say(group, vocabulary.COMMENT, sentence(one.text))
    for note in image.pixel_notes:
        say(group, vocabulary.PIXEL_NOTE, sentence(subject.words.term(note)))
    for note in spacing_notes(image, source, subject.words):
        say(group, vocabulary.PIXEL_NOTE, sentence(note))
    return group


def _finding(subject: _Subject, finding: Finding) -> Group:
    site = site_of(finding.code)
    group = subject.group(
        finding.label,
        bundle=finding.bundle,
        finding=finding.code,
        numbers=_probability_and_threshold(finding, subject),
        evaluations=[(finding.code, _DECISIONS[finding.decision])],
        site=None if site is None else _site(site, finding.laterality),
    )
    words = subject.words
    say(group, vocabulary.THRESHOLD_RULE, rule_text(finding.threshold_rule, words))
    say(group, vocabulary.COMMENT, finding_sentence(finding, words))
    say(group, vocabulary.COMMENT, sentence(doubt_sentence(finding, words)))
    return group


def _probability_and_threshold(finding: Finding, subject: _Subject) -> list[NumberItem]:
    """Return the calibrated probability, the threshold, and the range in which that is uncertain, where it is known."""
    rows = [(vocabulary.THRESHOLD, finding.threshold)]
    if finding.indeterminate_range is not None:
        rows += zip((vocabulary.DOUBT_FROM, vocabulary.DOUBT_BELOW), finding.indeterminate_range, strict=True)
    return [
        _number(vocabulary.PROBABILITY, finding.probability, PROBABILITY_UNIT, subject, method=vocabulary.CALIBRATED),
        *(_number(name, value, PROBABILITY_UNIT, subject) for name, value in rows),
    ]


def _segment(subject: _Subject, image: ImageFindings, segment: Segment, reference: SegmentReference) -> Group:
    source = subject.reference
    if source is None:
        raise ValueError(f"image {image.sop_instance_uid} has segments, but cannot be referred to")
    areas = _areas(image, segment)
    group = PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=subject.tracking(segment.label, segment.bundle),
        referenced_segment=ReferencedSegmentationFrame(
            sop_class_uid=reference.sop_class_uid,
            sop_instance_uid=reference.sop_instance_uid,
            frame_number=1,
            segment_number=reference.number,
            source_image=SourceImageForSegmentation(source.sop_class_uid, source.uid),
        ),
        finding_category=concept(segment.property_category),
        finding_type=concept(segment.property_type),
        finding_sites=[_site(_site_of_segment(segment), segment.laterality)],
        algorithm_id=algorithm_of(subject.request, segment.bundle),
        measurements=[_measurement(m, subject, site=False) for m in areas] or None,
    )
    for item in group[0].ContentSequence:
        _drop_frame_number(item)
    if segment.property_type == HEART and image.heart_box is not None:
        say(group, vocabulary.HEART_BOX, box_sentence(image.heart_box, subject.words))
    for measurement in areas:
        say(group, vocabulary.COMMENT, measurement_sentence(measurement, subject.words))
    return group


def _drop_frame_number(item: Dataset) -> None:
    """Keep the segment number only: Referenced Frame Number (0008,1160) beside it fails dciodvfy (PS3.3 Table 10-3)."""
    for reference in item.get("ReferencedSOPSequence", ()):
        if "ReferencedSegmentNumber" in reference and "ReferencedFrameNumber" in reference:
            del reference.ReferencedFrameNumber


def _measured(subject: _Subject, measurement: Measurement) -> Group:
    group = subject.group(measurement.label, bundle=measurement.bundle, numbers=[_measurement(measurement, subject)])
    words = subject.words
    say(group, vocabulary.COMMENT, measurement_sentence(measurement, words))
    say(group, vocabulary.COMMENT, sentence(extent_sentence(measurement, words)))
    if subject.source is not None and is_implausible(measurement, subject.source):
        say(group, vocabulary.COMMENT, sentence(implausible_sentence(measurement, words)))
    return group


def _segmentation_empty(subject: _Subject, item: SegmentationEmpty) -> Group:
    site = site_of(item.code)
    group = subject.group(
        f"{item.label} outline",
        bundle=item.bundle,
        finding=item.code,
        evaluations=[
            (vocabulary.SUMMARY_OF_ANALYSES, vocabulary.SUCCEEDED),
            (vocabulary.OUTLINE, vocabulary.ABSENT),
        ],
        site=None if site is None else _site(site, None),
    )
    say(group, vocabulary.COMMENT, sentence(segmentation_empty_sentence(item, subject.words)))
    return group


def _not_computed(subject: _Subject, item: NotComputed) -> Group:
    group = subject.group(
        f"{item.label} not computed",
        bundle=item.bundle,
        evaluations=[(vocabulary.SUMMARY_OF_ANALYSES, vocabulary.NOT_ATTEMPTED), reason_answer(item.reason)],
    )
    words = subject.words
    say(group, vocabulary.COMMENT, f"{not_computed_sentence(item, words)} {sentence(words.detail(item.detail))}")
    return group


def _areas(image: ImageFindings, segment: Segment) -> list[Measurement]:
    """Return the areas of a segment; other numbers lie between structures and belong to the image."""
    site = _site_of_segment(segment)
    return [
        m
        for m in image.measurements
        if m.code in (AREA, PART_OF_LUNG)
        and (m.finding_site, m.laterality, m.bundle) == (site, segment.laterality, segment.bundle)
    ]


def _site_of_segment(segment: Segment) -> Code:
    """Return where a segment lies: a disease has a site, a structure is its own."""
    return site_of(segment.property_type) or segment.property_type


def _measurement(measurement: Measurement, subject: _Subject, *, site: bool = True) -> NumberItem:
    sites = [_site(measurement.finding_site, measurement.laterality)] if site and measurement.finding_site else None
    source = subject.reference
    where = [] if source is None else coordinates(measurement, source)
    return _number(measurement.code, measurement.value, measurement.unit, subject, sites=sites, where=where)


def _number(
    name: Code,
    value: float,
    unit: Code,
    subject: _Subject,
    *,
    method: Code | None = None,
    sites: Sequence[FindingSite] | None = None,
    where: Sequence[CoordinatesForMeasurement] = (),
) -> NumberItem:
    """Return a NUM item (TID 300), inferred from the image, or from places in it."""
    if not math.isfinite(value):
        raise ValueError(f"{name.meaning} is {value}, expected a finite number")
    source = subject.reference
    return NumberItem(
        name=concept(name),
        value=round(float(value), _DECIMALS),
        unit=concept(unit),
        method=None if method is None else concept(method),
        finding_sites=sites,
        referenced_images=None if source is None else [SourceImageForMeasurement(source.sop_class_uid, source.uid)],
        referenced_coordinates=list(where) or None,
    )


def _site(site: Code, laterality: Code | None) -> FindingSite:
    return FindingSite(concept(site), laterality=None if laterality is None else concept(laterality))
