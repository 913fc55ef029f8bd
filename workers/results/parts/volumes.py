"""Measurement groups of the report about a series: PS3.16 TID 1411 for a volume, TID 1501 where there is none."""

from __future__ import annotations

from collections.abc import Sequence

from highdicom.sr import (
    FindingSite,
    MeasurementsAndQualitativeEvaluations,
    ReferencedSegment,
    SourceImageForMeasurementGroup,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from highdicom.sr import Measurement as NumberItem

from models.values.codes import ANATOMICAL_STRUCTURE, HEART, MILLILITRE, VOLUME, Code
from workers.results.parts.group_items import Group, SegmentReference, algorithm_of, evaluation, reason_answer, say
from workers.results.parts.identity import derived_uid, tracking_id, tracking_uid
from workers.results.request import DeclinedSeries, ResultRequest, SeriesFindings
from workers.results.sources.source import Source
from workers.results.text import vocabulary
from workers.results.text.languages.language import ENGLISH, Language
from workers.results.text.languages.sentences import Sentence
from workers.results.text.vocabulary import concept
from workers.results.text.wording import display_name, reason_text, sentence, series_lines, series_name

_DECIMALS = 6


def series_group(
    request: ResultRequest,
    found: SeriesFindings,
    sources: Sequence[Source],
    reference: SegmentReference | None,
    words: Language = ENGLISH,
) -> Group:
    """Return the group of one analysed series.

    Parameters
    ----------
    sources
        Headers of the study's images.
    reference
        Where the segment is stored; None: nothing was found, or no SEG was made of it.
    """
    findings = found.findings
    name = display_name(findings.label.name)
    tracking = TrackingIdentifier(
        uid=tracking_uid(request.study_instance_uid, found.series_instance_uid, findings.bundle, findings.label.name),
        identifier=tracking_id(name, series_name(found.series_instance_uid, sources)),
    )
    kind = concept(findings.label.code.to_code())
    algorithm = algorithm_of(request, findings.bundle)
    is_found = bool(findings.mask.any())
    volume = NumberItem(concept(VOLUME), round(findings.volume_ml, _DECIMALS), concept(MILLILITRE))
    if reference is not None:
        group: Group = VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking,
            referenced_segment=ReferencedSegment(
                sop_class_uid=reference.sop_class_uid,
                sop_instance_uid=reference.sop_instance_uid,
                segment_number=reference.number,
                source_series=SourceSeriesForSegmentation(found.series_instance_uid),
            ),
            finding_category=concept(ANATOMICAL_STRUCTURE),
            finding_type=kind,
            finding_sites=[FindingSite(concept(HEART))],
            algorithm_id=algorithm,
            measurements=[volume],
        )
    else:
        group = MeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking,
            finding_type=kind,
            finding_sites=[FindingSite(concept(HEART))],
            algorithm_id=algorithm,
            measurements=[volume] if is_found else None,
            qualitative_evaluations=None if is_found else [evaluation(kind_of(found), vocabulary.ABSENT)],
            source_images=_images(found.slices, sources),
        )
    for line in series_lines(found, words):
        say(group, vocabulary.COMMENT, sentence(line))
    return group


def declined_series_group(
    request: ResultRequest, declined: DeclinedSeries, sources: Sequence[Source], words: Language = ENGLISH
) -> Group:
    """Return the group of images of one series of which nothing was computed."""
    status = vocabulary.FAILED if declined.reason in vocabulary.FAILURES else vocabulary.NOT_ATTEMPTED
    uid = derived_uid("tracking", request.study_instance_uid, declined.series_instance_uid, declined.reason, "analysis")
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=uid, identifier=tracking_id("Analysis", series_name(declined.series_instance_uid, sources))
        ),
        qualitative_evaluations=[
            evaluation(vocabulary.SUMMARY_OF_ANALYSES, status),
            evaluation(*reason_answer(declined.reason)),
        ],
        source_images=_images(declined.images, sources),
    )
    said = words.say(Sentence.NOT_ANALYSED, reason=reason_text(declined.reason, words))
    say(group, vocabulary.COMMENT, f"{sentence(said)} {sentence(words.detail(declined.detail))}")
    return group


def kind_of(found: SeriesFindings) -> Code:
    """Return what was looked for in a series."""
    return found.findings.label.code.to_code()


def _images(uids: Sequence[str], sources: Sequence[Source]) -> list[SourceImageForMeasurementGroup] | None:
    wanted = frozenset(uids)
    found = [
        SourceImageForMeasurementGroup(source.sop_class_uid, source.uid)
        for source in sources
        if source.uid in wanted and source.can_be_referenced
    ]
    return found or None
