"""From an analysed study to the objects that go back to the archive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom import config
from pydicom.dataset import Dataset

from models.values.findings import ImageFindings
from node.delivery.profiles import Profile
from node.dicom.kinds import ResultKind
from workers.results.builders.encapsulated_pdf import encapsulated_pdf
from workers.results.builders.key_objects import key_object_selection
from workers.results.builders.parametric_map import parametric_map
from workers.results.builders.presentation_state import presentation_state
from workers.results.builders.report import report
from workers.results.builders.secondary_capture import secondary_capture
from workers.results.builders.segmentation import Part, parts, segmentation
from workers.results.part10 import written
from workers.results.parts.groups import SegmentReference
from workers.results.preflight.preflight import preflight
from workers.results.request import EncodedResult, Predecessor, ResultRequest
from workers.results.sources.radiographs import Radiographs
from workers.results.sources.source import Source, empty_header


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
    OSError
        The file of an image that a picture shows cannot be read.
    """
    earlier = tuple(Predecessor(*predecessor) for predecessor in predecessors)
    # pydicom's warnings about odd values of the source would carry them into the logs.
    with config.disable_value_validation():
        results = tuple(_Encoder(request, profile, earlier, radiographs or Radiographs()).results())
        preflight(results, request, profile, earlier)
    return results


@dataclass(frozen=True)
class _Encoder:
    """One request, one profile, the results of the revision before, and the pixels that pictures show."""

    request: ResultRequest
    profile: Profile
    predecessors: Sequence[Predecessor]
    radiographs: Radiographs

    @property
    def sources(self) -> Sequence[Source]:
        """Headers of the study's images."""
        return self.request.sources

    def results(self) -> Iterator[EncodedResult]:
        """Make what the profile has, each object after those that it refers to."""
        segmentations: dict[str, list[EncodedResult]] = {}
        references: dict[str, tuple[SegmentReference, ...]] = {}
        for image, source in self._images():
            made = list(self._segmentations(image, source))
            if made:
                segmentations[source.uid] = [result for result, _ in made]
                references[source.uid] = _references(image, made)
            yield from segmentations.get(source.uid, ())
            yield from self._pictures(image, source)
        stored = [result for results in segmentations.values() for result in results]
        document = report(
            self.request,
            self.sources,
            stored,
            references,
            profile=self.profile,
            predecessors=self.predecessors,
        )
        answer = self._written(document, ResultKind.SR)
        yield answer
        if self.profile.makes(ResultKind.KO):
            selection = key_object_selection(
                self.request,
                self.sources,
                segmentations,
                answer,
                profile=self.profile,
                predecessors=self.predecessors,
            )
            if selection is not None:
                yield self._written(selection, ResultKind.KO)
        if self.profile.makes(ResultKind.DOC):
            page = encapsulated_pdf(
                self.request,
                self.sources,
                {source.uid: self.radiographs.of(source) for _, source in self._images()},
                profile=self.profile,
                predecessors=self.predecessors,
            )
            yield self._written(page, ResultKind.DOC)

    def _images(self) -> Iterator[tuple[ImageFindings, Source]]:
        """Yield the analysed images that results can refer to."""
        by_uid = {source.uid: source for source in self.sources}
        for image in self.request.images:
            source = by_uid.get(image.sop_instance_uid)
            if source is None:
                raise ValueError(f"image {image.sop_instance_uid} was analysed, but no source file has its header")
            if source.can_be_referenced:
                yield image, source

    def _segmentations(self, image: ImageFindings, source: Source) -> Iterator[tuple[EncodedResult, Part]]:
        """Make a SEG for each part of the segments."""
        if not self.profile.makes(ResultKind.SEG):
            return
        for part in parts(image, self.profile):
            ds = segmentation(self.request, part, source, profile=self.profile, predecessors=self.predecessors)
            yield self._written(ds, ResultKind.SEG, source), part

    def _pictures(self, image: ImageFindings, source: Source) -> Iterator[EncodedResult]:
        """Make what shows one image to viewers that draw no SEG."""
        if self.profile.makes(ResultKind.SC):
            capture = secondary_capture(
                self.request,
                image,
                source,
                self.radiographs.of(source),
                profile=self.profile,
                predecessors=self.predecessors,
            )
            yield self._written(capture, ResultKind.SC, source)
        if self.profile.makes(ResultKind.PM):
            for heat_map in image.heat_maps:
                values = parametric_map(
                    self.request, image, heat_map, source, profile=self.profile, predecessors=self.predecessors
                )
                yield self._written(values, ResultKind.PM, source)
        if self.profile.makes(ResultKind.PR) and image.segments:
            state = presentation_state(self.request, image, source, self.radiographs.of(source), profile=self.profile)
            yield self._written(state, ResultKind.PR, source)

    def _written(self, ds: Dataset, kind: ResultKind, source: Source | None = None) -> EncodedResult:
        """Write an object; one of the whole study is filed like its first image."""
        subject = self.sources[0] if self.sources else empty_header(self.request.study_instance_uid)
        return written(ds, kind, source or subject, self.request.created_at, self.profile)


def _references(image: ImageFindings, made: Sequence[tuple[EncodedResult, Part]]) -> tuple[SegmentReference, ...]:
    """Return where each segment of an image is stored, in the order of its segments."""
    stored = {
        id(segment): SegmentReference(result.sop_class_uid, result.sop_instance_uid, number)
        for result, part in made
        for number, segment in enumerate(part.segments, start=1)
    }
    return tuple(stored[id(segment)] for segment in image.segments)
