"""From an analysed study to the objects that go back to the archive."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom import config

from node.profiles import Profile, ResultKind
from workers.objects.groups import SegmentReference
from workers.objects.part10 import written
from workers.objects.preflight import preflight
from workers.objects.report import report
from workers.objects.request import EncodedResult, Predecessor, ResultRequest
from workers.objects.segmentation import parts, segmentation
from workers.objects.source import Source, empty_header, read_sources


def encode(
    request: ResultRequest, *, profile: Profile, predecessors: Sequence[Predecessor | tuple[str, str, str]] = ()
) -> tuple[EncodedResult, ...]:
    """Return the result objects of one study revision, as the profile has them; the SR is always among them.

    An image whose UIDs are not valid gets no SEG, which would have to refer to it; the SR names it in words.
    Encoding the same request twice gives the same bytes. There is always an SR, also where every image was declined.

    Parameters
    ----------
    profile
        Which objects are made, and how they are encoded.
    predecessors
        The results of earlier revisions: (SOP Class UID, SOP Instance UID, Series Instance UID).

    Raises
    ------
    PreflightFailed
        The objects are not what they must be; nothing may be stored.
    ValueError
        The request contradicts itself or its sources, for example a mask on another grid.
    OSError
        A source file cannot be read.
    """
    sources = read_sources(request.sources)
    earlier = tuple(Predecessor(*predecessor) for predecessor in predecessors)
    # pydicom's warnings about odd values of the source would carry them into the logs.
    with config.disable_value_validation():
        results = _encode(request, sources, profile, earlier)
        preflight(results, request, sources, profile)
    return results


def _encode(
    request: ResultRequest, sources: Sequence[Source], profile: Profile, predecessors: Sequence[Predecessor]
) -> tuple[EncodedResult, ...]:
    by_uid = {source.uid: source for source in sources}
    segmentations: list[EncodedResult] = []
    references: dict[str, tuple[SegmentReference, ...]] = {}
    for image in request.images:
        source = by_uid.get(image.sop_instance_uid)
        if source is None:
            raise ValueError(f"image {image.sop_instance_uid} was analysed, but no source file has its header")
        if not source.can_be_referenced or not profile.makes(ResultKind.SEG):
            continue
        stored: dict[int, SegmentReference] = {}
        for part in parts(image, profile):
            ds = segmentation(request, part, source, profile=profile, predecessors=predecessors)
            result = written(ds, ResultKind.SEG, source, request.created_at, profile)
            segmentations.append(result)
            stored |= {
                id(segment): SegmentReference(result.sop_class_uid, result.sop_instance_uid, number)
                for number, segment in enumerate(part.segments, start=1)
            }
        references[source.uid] = tuple(stored[id(segment)] for segment in image.segments)
    document = report(request, sources, segmentations, references, profile=profile, predecessors=predecessors)
    subject = sources[0] if sources else empty_header(request.study_instance_uid)
    return (*segmentations, written(document, ResultKind.SR, subject, request.created_at, profile))
