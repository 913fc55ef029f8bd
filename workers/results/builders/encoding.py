"""What every builder is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from models.values.findings import ImageFindings, Segment
from node.delivery.profiles import Profile
from node.dicom.kinds import ResultKind
from workers.results.request import EncodedResult, Predecessor, ResultRequest
from workers.results.sources.radiographs import Radiographs
from workers.results.sources.source import Source


@dataclass(frozen=True)
class ShownImage:
    """An analysed image that results can refer to."""

    findings: ImageFindings
    source: Source


@dataclass(frozen=True)
class Built:
    """One object that is not yet written."""

    ds: Dataset
    source: Source | None = None
    """The image that it is filed like; None: the first of the study."""
    segments: tuple[Segment, ...] = ()
    """What a Segmentation holds under the numbers 1, 2 and so on."""
    series_uid: str = ""
    """Series that it shows as a volume; empty: it shows images."""

    @property
    def image_uid(self) -> str:
        """SOP Instance UID of the image; empty for an object of the whole study."""
        return "" if self.source is None else self.source.uid


@dataclass(frozen=True)
class Encoding:
    """One request, one profile, the results of the revision before, the pixels that pictures show, and what was made.

    `made` grows while results are made: a builder finds in it what was made before its own kind.
    """

    request: ResultRequest
    profile: Profile
    predecessors: Sequence[Predecessor]
    radiographs: Radiographs
    made: list[tuple[Built, EncodedResult]] = field(default_factory=list)

    def images(self) -> tuple[ShownImage, ...]:
        """Return the analysed images that results can refer to.

        Raises
        ------
        ValueError
            An analysed image has no header.
        """
        by_uid = {source.uid: source for source in self.request.sources}
        found = []
        for image in self.request.images:
            source = by_uid.get(image.sop_instance_uid)
            if source is None:
                raise ValueError(f"image {image.sop_instance_uid} was analysed, but no source file has its header")
            if source.can_be_referenced:
                found.append(ShownImage(image, source))
        return tuple(found)

    def made_of(self, kind: ResultKind) -> list[tuple[Built, EncodedResult]]:
        """Return what was made of one kind so far, in the order of the images."""
        return [(built, result) for built, result in self.made if result.kind is kind]


Builder = Callable[[Encoding, Sequence[ShownImage]], Iterator[Built]]
"""Makes the objects of one kind: of one image at a time, or of the whole study and all of its images."""
