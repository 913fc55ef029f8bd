"""From an analysed study to the objects that go back to the archive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom import config

from node.delivery.profiles import STRICT, Profile
from node.dicom.kinds import KINDS, ResultKind, Scope
from workers.results.builders import volume_segmentation
from workers.results.builders.encoding import Built, Encoding, ShownImage
from workers.results.builders.volume_segmentation import VolumeRequest
from workers.results.kinds import MAKING
from workers.results.part10 import written
from workers.results.preflight import check_attributes, preflight
from workers.results.request import EncodedResult, Predecessor, ResultRequest
from workers.results.sources.attributes import quiet
from workers.results.sources.radiographs import Radiographs
from workers.results.sources.source import empty_header


def encode(
    request: ResultRequest,
    *,
    profile: Profile,
    predecessors: Sequence[Predecessor | tuple[str, str, str]] = (),
    radiographs: Radiographs | None = None,
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
    radiographs
        Pixels of the images that are decoded already; those that pictures need besides are decoded here.

    Raises
    ------
    PreflightFailed
        The objects are not what they must be; nothing may be stored.
    ValueError
        The request contradicts itself or its sources, for example a mask on another grid.
    Undecodable
        The pixels of an image that a picture shows cannot be read.
    """
    earlier = tuple(Predecessor(*predecessor) for predecessor in predecessors)
    # pydicom's warnings about odd values of the source would carry them into the logs.
    with config.disable_value_validation():
        results = tuple(_results(Encoding(request, profile, earlier, radiographs or Radiographs())))
        with quiet():
            preflight(results, request, profile, earlier)
    return results


def encode_volume(request: VolumeRequest) -> EncodedResult:
    """Return the SEG of a series as Part 10 bytes.

    Raises
    ------
    VolumeNotReferable
        A slice has an invalid UID, no frame of reference, or no whole position.
    ValueError
        The mask is empty, or does not have one plane of the right size for each slice.
    PreflightFailed
        The object has not the attributes that it must have.
    """
    result = written(
        volume_segmentation.volume_segmentation(request), ResultKind.SEG, request.sources[0], request.created_at
    )
    check_attributes(result)
    return result


def _results(encoding: Encoding) -> Iterator[EncodedResult]:
    """Make what the profile has: what speaks of an image image by image, then what speaks of the study."""
    images = encoding.images()
    for image in images:
        for kind in _kinds(encoding, Scope.IMAGE):
            yield from _of_kind(encoding, kind, [image])
    if encoding.profile.makes(ResultKind.SEG):
        for built in volume_segmentation.build(encoding):
            yield _written(encoding, ResultKind.SEG, built)
    for kind in _kinds(encoding, Scope.STUDY):
        yield from _of_kind(encoding, kind, images)


def _kinds(encoding: Encoding, scope: Scope) -> list[ResultKind]:
    return [kind for kind in MAKING if KINDS[kind].scope is scope and encoding.profile.makes(kind)]


def _of_kind(encoding: Encoding, kind: ResultKind, images: Sequence[ShownImage]) -> Iterator[EncodedResult]:
    """Make and write the objects of one kind."""
    for built in MAKING[kind].build(encoding, images):
        yield _written(encoding, kind, built)


def _written(encoding: Encoding, kind: ResultKind, built: Built) -> EncodedResult:
    """Write an object; one of the whole study is filed like its first image."""
    request = encoding.request
    subject = request.sources[0] if request.sources else empty_header(request.study_instance_uid)
    # One bit a voxel over many frames: neither RLE nor JPEG 2000 of a library takes it.
    profile = STRICT if built.series_uid else encoding.profile
    result = written(built.ds, kind, built.source or subject, request.created_at, profile)
    encoding.made.append((built, result))
    return result
