"""Encapsulated PDF (PS3.3 section A.45.1): the result of a study on one page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from highdicom import SOPClass
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from models.image.pixels import Radiograph
from models.values.findings import ImageFindings, Segment
from node.delivery.profiles import Profile
from node.dicom.kinds import KINDS, ResultKind
from workers.results.builders.encoding import Built, Encoding, ShownImage
from workers.results.part10 import local_time
from workers.results.parts import equipment
from workers.results.parts.references import hierarchical, reference
from workers.results.parts.series import burnt_in_annotation, contributions, identification, patient
from workers.results.rendering.overlay import overlay
from workers.results.rendering.pdf_page import LONGEST, Legend, Page, pdf
from workers.results.request import Predecessor, ResultRequest
from workers.results.sources.source import Source, empty_header
from workers.results.text import vocabulary
from workers.results.text.languages.known import language
from workers.results.text.languages.language import Language
from workers.results.text.languages.sentences import Sentence
from workers.results.text.vocabulary import concept
from workers.results.text.wording import NO_ROOM, intended_use_sentence, label_of, limits, study_lines

TITLE = "Result of automatic analysis"

_MIME_TYPE = "application/pdf"
_WORKSTATION = "WSD"


def build(encoding: Encoding, images: Sequence[ShownImage]) -> Iterator[Built]:
    """Make the one page of the study."""
    ds = encapsulated_pdf(
        encoding.request,
        encoding.request.sources,
        {image.source.uid: encoding.radiographs.of(image.source) for image in images},
        profile=encoding.profile,
        predecessors=encoding.predecessors,
    )
    yield Built(ds)


def encapsulated_pdf(
    request: ResultRequest,
    sources: Sequence[Source],
    radiographs: Mapping[str, Radiograph],
    *,
    profile: Profile,
    predecessors: Sequence[Predecessor] = (),
) -> SOPClass:
    """Return the Encapsulated PDF of a study; also of one in which every image was declined.

    Parameters
    ----------
    sources
        Every image of the study whose header could be read; may be empty.
    radiographs
        Pixels of the images that are shown, by SOP Instance UID; those that are missing are not shown.

    Raises
    ------
    ValueError
        A mask does not fit its radiograph.
    """
    subject = sources[0] if sources else empty_header(request.study_instance_uid)
    header, moment, words = subject.header, local_time(request.created_at, subject), language(profile.language)
    ds = SOPClass(
        study_instance_uid=request.study_instance_uid,
        sop_class_uid=EncapsulatedPDFStorage,
        modality=KINDS[ResultKind.DOC].modality,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **patient(header),
        **identification(request, ResultKind.DOC, profile),
    )
    ds.copy_patient_and_study_information(header)
    ds.ContributingEquipmentSequence = contributions(request, request.bundles, moment)
    shown = [(image, source) for image, source in _pairs(request, sources) if source.uid in radiographs]
    content = pdf(_page(request, sources, shown, radiographs, uid=str(ds.SOPInstanceUID), words=words))
    ds.ConversionType = _WORKSTATION
    ds.AcquisitionDateTime = None
    # Type 1 here: a page whose picture may identify the patient must not claim that it does not.
    known = all(burnt_in_annotation(source) == "NO" for _, source in shown)
    ds.BurnedInAnnotation = "NO" if known else "YES"
    ds.DocumentTitle = words.term(TITLE)
    ds.ConceptNameCodeSequence = [concept(vocabulary.DIAGNOSTIC_IMAGING_REPORT)]
    ds.VerificationFlag = "UNVERIFIED"
    ds.MIMETypeOfEncapsulatedDocument = _MIME_TYPE
    ds.EncapsulatedDocumentLength = len(content)
    ds.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    referred = [reference(source.sop_class_uid, source.uid) for source in sources if source.can_be_referenced]
    if referred:
        ds.SourceInstanceSequence = referred
    earlier = [p for p in predecessors if p.series_instance_uid == ds.SeriesInstanceUID]
    if earlier:
        instances = [(p.series_instance_uid, p.sop_class_uid, p.sop_instance_uid) for p in earlier]
        ds.PredecessorDocumentsSequence = [hierarchical(request.study_instance_uid, instances)]
    return ds


def _pairs(request: ResultRequest, sources: Sequence[Source]) -> list[tuple[ImageFindings, Source]]:
    by_uid = {source.uid: source for source in sources}
    return [(i, by_uid[i.sop_instance_uid]) for i in request.images if i.sop_instance_uid in by_uid]


def _page(
    request: ResultRequest,
    sources: Sequence[Source],
    shown: Sequence[tuple[ImageFindings, Source]],
    radiographs: Mapping[str, Radiograph],
    *,
    uid: str,
    words: Language,
) -> Page:
    """Say what stands on the page."""
    pictures = tuple((source.name, overlay(radiographs[source.uid], image, longest=LONGEST)) for image, source in shown)
    segments: dict[tuple[str, str | None], Segment] = {}
    for image, _ in shown:
        for segment in image.segments:
            side = None if segment.laterality is None else segment.laterality.value
            segments.setdefault((segment.label, side), segment)
    uses = tuple(intended_use_sentence(use, words) for use in request.intended_use)
    return Page(
        title=words.term(TITLE),
        notice=words.say(Sentence.RESEARCH_ONLY),
        pictures=pictures,
        legend=tuple(Legend(one.colour_rgb, label_of(one, words)) for one in segments.values()),
        sections=(
            (words.term("Findings and measurements"), tuple(study_lines(request, sources, words))),
            *(((words.term("Intended use"), uses),) if uses else ()),
            (words.term("Limits of this result"), (limits(equipment.names(request), words),)),
        ),
        more=words.term(NO_ROOM),
        foot=words.say(
            Sentence.FOOT, revision=request.revision, moment=f"{request.created_at:%Y-%m-%d %H:%M %Z}", uid=uid
        ),
    )
