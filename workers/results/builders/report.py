"""Structured Report of a study: Comprehensive 3D SR with PS3.16 TID 1500, preliminary and unverified.

Every study is answered. Where nothing was computed the report says so, image by image, with a coded reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy

from highdicom.sr import (
    CompositeContentItem,
    Comprehensive3DSR,
    ContainerContentItem,
    ContentSequence,
    ImageContentItem,
    LanguageOfContentItemAndDescendants,
    MeasurementReport,
    ObservationContext,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as ItemSequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from models.values.codes import Code
from node.delivery.profiles import Profile
from node.dicom.kinds import KINDS, ResultKind, kind_of
from node.dicom.uids import COMPUTED_RADIOGRAPHY
from workers.results.builders.encoding import Built, Encoding, ShownImage
from workers.results.part10 import local_time
from workers.results.parts import equipment
from workers.results.parts.group_items import Group, SegmentReference, code_item
from workers.results.parts.groups import declined_group, image_groups
from workers.results.parts.identity import derived_uid, result_uid, series_uid
from workers.results.parts.library import image_library
from workers.results.parts.references import hierarchical, orders, stand_in, superseded
from workers.results.parts.volumes import declined_series_group, series_group
from workers.results.request import EncodedResult, Predecessor, ResultRequest
from workers.results.sources.source import Source, empty_header
from workers.results.text import vocabulary
from workers.results.text.languages.known import language
from workers.results.text.languages.language import Language
from workers.results.text.languages.sentences import Sentence
from workers.results.text.vocabulary import concept
from workers.results.text.wording import (
    RESEARCH_ONLY,
    intended_use_sentence,
    limits,
    sentence,
    study_lines,
    study_status,
)

SERIES_DESCRIPTION = f"AI SR - {RESEARCH_ONLY}"

TITLES: dict[bool, Code] = {
    True: vocabulary.DIAGNOSTIC_IMAGING_REPORT,
    False: vocabulary.IMAGING_MEASUREMENT_REPORT,
}
"""Document title, by `Profile.text_report`. CID 7021 of TID 1500 is extensible: OHIF 3.13.2 shows the text of an SR
under any title but (126000, DCM), and under that one stops with a TypeError at the first measurement group without
coordinates."""

_LAST_INSTANCE_NUMBER = 10_000
_CONTAINS = RelationshipTypeValues.CONTAINS


def build(encoding: Encoding, images: Sequence[ShownImage]) -> Iterator[Built]:
    """Make the one report of the study, which refers to its Segmentations."""
    stored = encoding.made_of(ResultKind.SEG)
    references = {
        (built.image_uid, id(segment)): SegmentReference(result.sop_class_uid, result.sop_instance_uid, number)
        for built, result in stored
        for number, segment in enumerate(built.segments, start=1)
    }
    by_image = {image.source.uid: image.findings.segments for image in images}
    ds = report(
        encoding.request,
        encoding.request.sources,
        [result for _, result in stored],
        {
            **{uid: tuple(references[uid, id(one)] for one in found) for uid, found in by_image.items() if references},
            **{
                built.series_uid: (SegmentReference(result.sop_class_uid, result.sop_instance_uid, 1),)
                for built, result in stored
                if built.series_uid
            },
        },
        profile=encoding.profile,
        predecessors=encoding.predecessors,
    )
    yield Built(ds)


def report(
    request: ResultRequest,
    sources: Sequence[Source],
    segmentations: Sequence[EncodedResult],
    references: dict[str, tuple[SegmentReference, ...]],
    *,
    profile: Profile,
    predecessors: Sequence[Predecessor] = (),
) -> Comprehensive3DSR:
    """Return the SR of a study.

    Parameters
    ----------
    sources
        Every image of the study whose header could be read; may be empty. One whose UIDs are not valid is named in
        words only: DCMTK cannot read a report that refers to it.
    segmentations
        The SEGs of the same request and profile.
    references
        For each image with segments, by SOP Instance UID, and each series with one, by Series Instance UID, where
        these are stored.
    predecessors
        Results of the revision before. Those of other kinds are named too, because nothing else says that they no
        longer hold where this revision makes none in their place.
    """
    stale = superseded(predecessors)
    referenced = [source for source in sources if source.can_be_referenced]
    subject = sources[0] if sources else empty_header(request.study_instance_uid)
    moment = local_time(request.created_at, subject)
    ds = Comprehensive3DSR(
        evidence=[
            _context(subject),
            *(source.header for source in referenced),
            *(stand_in(result, subject) for result in segmentations),
            *(stand_in(result, subject) for result in stale),
        ],
        content=_content(request, sources, references, profile=profile, stale=stale),
        series_instance_uid=series_uid(request.named, ResultKind.SR, profile),
        series_number=KINDS[ResultKind.SR].series_number,
        sop_instance_uid=result_uid(request, ResultKind.SR, profile),
        instance_number=_instance_number(request.revision, profile),
        manufacturer=equipment.MANUFACTURER,
        manufacturer_model_name=equipment.MODEL_NAME,
        software_versions=equipment.SOFTWARE_VERSION,
        device_serial_number=equipment.node(request.configuration_digest).serial_number,
        is_complete=True,
        is_final=False,
        is_verified=False,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        series_description=SERIES_DESCRIPTION,
        specific_character_set="ISO_IR 192",
        coding_schemes=vocabulary.coding_schemes(),
        contributing_equipment=[equipment.contributing_equipment(a, moment) for a in equipment.algorithms(request)],
    )
    _set_evidence(ds, request, referenced, [*segmentations, *stale])
    _set_request(ds, subject, request)
    _refer_to_predecessors(ds, request, predecessors)
    return ds


def _instance_number(revision: int, profile: Profile) -> int:
    """Return the Instance Number (0020,0013): the revision, or for OHIF one that falls with each revision.

    OHIF 3.13.2 sorts a series by this number and shows the text of its first SR, which must not be a superseded one.
    """
    return _LAST_INSTANCE_NUMBER - revision if profile.text_report else revision


def _content(
    request: ResultRequest,
    sources: Sequence[Source],
    references: dict[str, tuple[SegmentReference, ...]],
    *,
    profile: Profile,
    stale: Sequence[Predecessor],
) -> ItemSequence:
    by_uid = {source.uid: source for source in sources}
    observers = [equipment.observer(algorithm) for algorithm in equipment.algorithms(request)]
    context = ObservationContext(observer_device_context=observers[0])
    for observer in observers[1:]:
        context.extend(observer)
    words = language(profile.language)
    groups: list[Group] = []
    for image in request.images:
        source = by_uid.get(image.sop_instance_uid)
        if source is None:
            raise ValueError(f"image {image.sop_instance_uid} was analysed, but no source file has its header")
        groups += image_groups(request, image, source, references.get(image.sop_instance_uid, ()), words)
    groups += [declined_group(request, by_uid.get(d.sop_instance_uid), d, words) for d in request.declined]
    for found in request.series:
        stored = references.get(found.series_instance_uid)
        groups.append(series_group(request, found, sources, stored[0] if stored else None, words))
    groups += [declined_series_group(request, declined, sources, words) for declined in request.declined_series]
    if not groups:
        raise ValueError("a result needs at least one image, analysed or declined")
    content = MeasurementReport(
        observation_context=context,
        procedure_reported=concept(_procedure(request)),
        imaging_measurements=groups,
        title=concept(TITLES[profile.text_report]),
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(concept(words.code)),
    )
    root = content[0].ContentSequence
    referenced = [source for source in sources if source.can_be_referenced]
    if referenced:
        root.insert(len(root) - 1, image_library(referenced))
    summary = [_text(vocabulary.SUMMARY, line) for line in study_lines(request, sources, words)]
    if stale:
        kinds = ", ".join(dict.fromkeys(kind_of(p.sop_class_uid) for p in stale))
        summary.append(_text(vocabulary.PREDECESSOR, sentence(words.say(Sentence.SUPERSEDES, kinds=kinds))))
    root.append(_evaluations(request, () if profile.text_report else summary, stale, words))
    if profile.text_report:
        # Behind the language, which the Standard wants first: a reader sees the result without scrolling.
        root[1:1] = [*summary, _text(vocabulary.LIMITS, limits(equipment.names(request), words))]
    _separate(content)
    return content


def _procedure(request: ResultRequest) -> Code:
    """Return the procedure that is reported on: MR of series, else radiography, of the chest where the gate saw one."""
    if request.series or request.declined_series:
        return vocabulary.MAGNETIC_RESONANCE_IMAGING
    seen = any(image.gate.passed for image in request.images)
    return vocabulary.PLAIN_CHEST_RADIOGRAPHY if seen else vocabulary.PLAIN_RADIOGRAPHY


def _separate(items: Sequence[Dataset]) -> None:
    """Set Continuity of Content (0040,A050): items stand alone. OHIF runs those of a continuous container together."""
    for item in items:
        if item.ValueType == "CONTAINER":
            item.ContinuityOfContent = "SEPARATE"
            _separate(item.ContentSequence)


def _evaluations(
    request: ResultRequest, summary: Sequence[TextContentItem], stale: Sequence[Predecessor], words: Language
) -> ContainerContentItem:
    """Return what holds for the whole study (TID 1500 rows 12 to 14)."""
    container = ContainerContentItem(concept(vocabulary.QUALITATIVE_EVALUATIONS), relationship_type=_CONTAINS)
    found = any(image.findings for image in request.images)
    container.ContentSequence = ContentSequence(
        [
            code_item(vocabulary.SUMMARY_OF_ANALYSES, study_status(request)),
            *summary,
            *map(_superseded, stale),
            *(_text(vocabulary.INTENDED_USE, intended_use_sentence(use, words)) for use in request.intended_use),
            *([_text(vocabulary.LIMITS, sentence(words.say(Sentence.CALIBRATED)))] if found else []),
            _text(vocabulary.LIMITS, limits(equipment.names(request), words)),
        ]
    )
    return container


def _text(name: Code, value: str) -> TextContentItem:
    return TextContentItem(concept(name), " ".join(value.split()), relationship_type=_CONTAINS)


def _superseded(predecessor: Predecessor) -> ImageContentItem | CompositeContentItem:
    """Return the reference to a result that no longer holds."""
    item = ImageContentItem if KINDS[kind_of(predecessor.sop_class_uid)].is_image else CompositeContentItem
    return item(
        concept(vocabulary.PREDECESSOR),
        predecessor.sop_class_uid,
        predecessor.sop_instance_uid,
        relationship_type=_CONTAINS,
    )


def _context(subject: Source) -> Dataset:
    """Return the header that highdicom copies patient and study from, under a SOP class that it knows."""
    # A Study Instance UID that is not valid stays as it is: under another, the result would not belong to the study.
    header = deepcopy(subject.header)
    header.SOPClassUID = UID(COMPUTED_RADIOGRAPHY)
    header.SOPInstanceUID = UID(derived_uid("context", str(header.StudyInstanceUID)))
    header.SeriesInstanceUID = UID(derived_uid("context", "series", str(header.StudyInstanceUID)))
    return header


def _set_evidence(
    ds: Comprehensive3DSR,
    request: ResultRequest,
    sources: Sequence[Source],
    results: Sequence[EncodedResult | Predecessor],
) -> None:
    """List what the report rests on (0040,A375), and not the stand-in that the patient was copied from."""
    instances = [(s.series_instance_uid, s.sop_class_uid, s.uid) for s in sources]
    instances += [(r.series_instance_uid, r.sop_class_uid, r.sop_instance_uid) for r in results]
    if instances:
        ds.CurrentRequestedProcedureEvidenceSequence = [hierarchical(request.study_instance_uid, instances)]
    elif "CurrentRequestedProcedureEvidenceSequence" in ds:
        del ds.CurrentRequestedProcedureEvidenceSequence


def _refer_to_predecessors(ds: Comprehensive3DSR, request: ResultRequest, predecessors: Sequence[Predecessor]) -> None:
    """Name the reports that this one supersedes (0040,A360)."""
    reports = [
        (p.series_instance_uid, p.sop_class_uid, p.sop_instance_uid)
        for p in predecessors
        if kind_of(p.sop_class_uid) is ResultKind.SR
    ]
    if reports:
        ds.PredecessorDocumentsSequence = [hierarchical(request.study_instance_uid, reports)]


def _set_request(ds: Comprehensive3DSR, subject: Source, request: ResultRequest) -> None:
    """Repeat the order that the images fulfil (0040,A370), where the source names one."""
    items = orders(request, subject)
    if items:
        ds.ReferencedRequestSequence = items
