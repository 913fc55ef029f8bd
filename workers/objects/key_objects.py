"""Key Object Selection (PS3.3 section A.35.4, PS3.16 TID 2010): what to look at first in a study.

The IOD has no place for predecessors: a later revision is the next instance of the same series.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from models.codes import Code
from models.findings import Finding, ImageFindings
from node.profiles import Profile, ResultKind
from workers.objects import equipment
from workers.objects.languages.known import language
from workers.objects.languages.language import Language
from workers.objects.languages.sentences import Sentence
from workers.objects.part10 import local_time
from workers.objects.references import orders
from workers.objects.request import EncodedResult, ResultRequest
from workers.objects.series import contributions, identification
from workers.objects.source import Source
from workers.objects.vocabulary import concept
from workers.objects.wording import capital, finding_sentence

OF_INTEREST = Code("113000", "DCM", "Of Interest")
"""Document title (PS3.16 CID 7010)."""

_NOTHING_PRESENT = "STAT study, nothing found above a threshold"


def key_object_selection(
    request: ResultRequest,
    sources: Sequence[Source],
    segmentations: Mapping[str, Sequence[EncodedResult]],
    report: EncodedResult,
    *,
    profile: Profile,
) -> KeyObjectSelectionDocument | None:
    """Return the Key Object Selection of a study, or None: nothing is present and the study is not urgent.

    It refers to every image with a finding that is present, to the SEGs of these images and to the SR; of a STAT study
    without such a finding, to all analysed images. A finding is present where its probability reaches the threshold,
    in doubt too: then regions of it are outlined.

    Parameters
    ----------
    sources
        Every image of the study whose header could be read. Those whose UIDs are not valid are left out.
    segmentations
        The SEGs of each image, by its SOP Instance UID, of the same request and profile; may be none.
    report
        The SR.
    """
    by_uid = {source.uid: source for source in sources if source.can_be_referenced}
    analysed = [image for image in request.images if image.gate.passed and image.sop_instance_uid in by_uid]
    positive = [image for image in analysed if present(image)]
    shown = positive or (analysed if request.urgent else [])
    if not shown:
        return None
    images = [by_uid[image.sop_instance_uid] for image in shown]
    results = [*(result for source in images for result in segmentations.get(source.uid, ())), report]
    objects = [*(source.header for source in images), *(_stand_in(result, request) for result in results)]
    algorithms = equipment.algorithms(request)
    observer = equipment.observer(algorithms[0])
    for other in algorithms[1:]:
        observer.extend(equipment.observer(other))
    moment = local_time(request.created_at, sources[0])
    ds = KeyObjectSelectionDocument(
        evidence=objects,
        content=KeyObjectSelection(
            document_title=concept(OF_INTEREST),
            referenced_objects=objects,
            observer_device_context=observer,
            description=_description(shown, by_uid, language(profile.language)),
        ),
        requested_procedures=orders(request, sources[0]) or None,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        contributing_equipment=contributions(request, request.bundles, moment),
        **identification(request, ResultKind.KO, profile),
    )
    ds.copy_patient_and_study_information(sources[0].header)
    return ds


def present(image: ImageFindings) -> tuple[Finding, ...]:
    """Return the findings of an image that reach their thresholds."""
    return tuple(finding for finding in image.findings if finding.present)


def _stand_in(result: EncodedResult, request: ResultRequest) -> Dataset:
    """Return what a reference needs of a result."""
    ds = Dataset()
    ds.StudyInstanceUID = UID(request.study_instance_uid)
    ds.SeriesInstanceUID = UID(result.series_instance_uid)
    ds.SOPClassUID = UID(result.sop_class_uid)
    ds.SOPInstanceUID = UID(result.sop_instance_uid)
    if result.kind is ResultKind.SEG:
        # By these highdicom knows an image (value type IMAGE) from another object (COMPOSITE).
        ds.Rows = ds.Columns = 1
    return ds


def _description(images: Sequence[ImageFindings], by_uid: dict[str, Source], words: Language) -> str:
    """Return the Key Object Description (113012, DCM)."""
    lines = []
    for image in images:
        said = "; ".join(finding_sentence(finding, words) for finding in present(image)) or words.term(_NOTHING_PRESENT)
        lines.append(f"{capital(by_uid[image.sop_instance_uid].name)}: {said}." if len(images) > 1 else f"{said}.")
    return f"{words.say(Sentence.RESEARCH_ONLY)}. " + " ".join(lines)
