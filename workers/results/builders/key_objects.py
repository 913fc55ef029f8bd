"""Key Object Selection (PS3.3 section A.35.4, PS3.16 TID 2010): what to look at first in a study.

The IOD has no place for predecessors: a later revision is the next instance of the same series.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom.uid import ExplicitVRLittleEndian

from models.values.codes import Code
from models.values.findings import Finding, ImageFindings
from node.delivery.profiles import Profile
from node.dicom.kinds import ResultKind, kind_of
from workers.results.builders.encoding import Built, Encoding, ShownImage
from workers.results.part10 import local_time
from workers.results.parts import equipment
from workers.results.parts.references import orders, stand_in
from workers.results.parts.series import contributions, identification
from workers.results.request import EncodedResult, Predecessor, ResultRequest
from workers.results.sources.source import Source, empty_header
from workers.results.text.languages.known import language
from workers.results.text.languages.language import Language
from workers.results.text.languages.sentences import Sentence
from workers.results.text.vocabulary import concept
from workers.results.text.wording import capital, finding_sentence, image_name, sentence

OF_INTEREST = Code("113000", "DCM", "Of Interest")
"""Document title (PS3.16 CID 7010)."""

_NOTHING_PRESENT = "STAT study, nothing found above a threshold"


def build(encoding: Encoding, images: Sequence[ShownImage]) -> Iterator[Built]:
    """Make the one selection of the study, if there is anything to select; it refers to Segmentations and report."""
    ((_, report),) = encoding.made_of(ResultKind.SR)
    segmentations: dict[str, list[EncodedResult]] = defaultdict(list)
    for built, result in encoding.made_of(ResultKind.SEG):
        segmentations[built.image_uid].append(result)
    ds = key_object_selection(
        encoding.request,
        encoding.request.sources,
        segmentations,
        report,
        profile=encoding.profile,
        predecessors=encoding.predecessors,
    )
    if ds is not None:
        yield Built(ds)


def key_object_selection(
    request: ResultRequest,
    sources: Sequence[Source],
    segmentations: Mapping[str, Sequence[EncodedResult]],
    report: EncodedResult,
    *,
    profile: Profile,
    predecessors: Sequence[Predecessor] = (),
) -> KeyObjectSelectionDocument | None:
    """Return the Key Object Selection of a study, or None: nothing is present and the study is not urgent.

    Where an earlier revision selected something and this one does not, the selection says so, and refers to the report
    alone: what refers to an image marks it, whatever its text.

    It refers to every image with a finding that is present, to the SEGs of these images and to the SR; of a STAT study
    without such a finding, to all analysed images. A finding is present where its probability reaches the threshold,
    in doubt too: then regions of it are outlined.

    Parameters
    ----------
    sources
        Every image of the study whose header could be read. Those whose UIDs are not valid are excluded.
    segmentations
        The SEGs of each image, by its SOP Instance UID, of the same request and profile; may be none.
    report
        The SR.
    predecessors
        The results of earlier revisions.
    """
    by_uid = {source.uid: source for source in sources if source.can_be_referenced}
    analysed = [image for image in request.images if image.gate.passed and image.sop_instance_uid in by_uid]
    positive = [image for image in analysed if present(image)]
    shown = positive or (analysed if request.urgent else [])
    superseded = any(kind_of(p.sop_class_uid) is ResultKind.KO for p in predecessors)
    if not shown and not superseded:
        return None
    subject, words = sources[0] if sources else empty_header(request.study_instance_uid), language(profile.language)
    images = [by_uid[image.sop_instance_uid] for image in shown]
    results = [*(result for source in images for result in segmentations.get(source.uid, ())), report]
    objects = [*(source.header for source in images), *(stand_in(result, subject) for result in results)]
    algorithms = equipment.algorithms(request)
    observer = equipment.observer(algorithms[0])
    for other in algorithms[1:]:
        observer.extend(equipment.observer(other))
    moment = local_time(request.created_at, subject)
    ds = KeyObjectSelectionDocument(
        evidence=objects,
        content=KeyObjectSelection(
            document_title=concept(OF_INTEREST),
            referenced_objects=objects,
            observer_device_context=observer,
            description=_description(shown, by_uid, words) if shown else _withdrawal(request, words),
        ),
        requested_procedures=orders(request, subject) or None,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        contributing_equipment=contributions(request, request.bundles, moment),
        **identification(request, ResultKind.KO, profile),
    )
    ds.copy_patient_and_study_information(subject.header)
    return ds


def present(image: ImageFindings) -> tuple[Finding, ...]:
    """Return the findings of an image that reach their thresholds."""
    return tuple(finding for finding in image.findings if finding.present)


def _withdrawal(request: ResultRequest, words: Language) -> str:
    """Return the Key Object Description of a selection of nothing."""
    said = words.say(Sentence.NOTHING_SELECTED, revision=request.revision)
    return f"{words.say(Sentence.RESEARCH_ONLY)}. {sentence(said)}"


def _description(images: Sequence[ImageFindings], by_uid: dict[str, Source], words: Language) -> str:
    """Return the Key Object Description (113012, DCM)."""
    lines = []
    for image in images:
        said = "; ".join(finding_sentence(finding, words) for finding in present(image)) or words.term(_NOTHING_PRESENT)
        name = capital(image_name(image.sop_instance_uid, by_uid, words))
        lines.append(f"{name}: {said}." if len(images) > 1 else f"{said}.")
    return f"{words.say(Sentence.RESEARCH_ONLY)}. " + " ".join(lines)
