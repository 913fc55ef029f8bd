"""One result read again, and what checks compare it with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from models.values.findings import ImageFindings
from node.delivery.profiles import Profile
from node.dicom.kinds import ResultKind
from workers.results.request import EncodedResult, ResultRequest, SeriesFindings
from workers.results.sources.source import Source


@dataclass(frozen=True)
class Referable:
    """An object that results may refer to; `tracking_uids` are those of its segments, by their numbers."""

    sop_class_uid: str
    series_instance_uid: str
    tracking_uids: Mapping[int, str] = field(default_factory=dict)

    @property
    def segments(self) -> frozenset[int]:
        """The numbers of its segments."""
        return frozenset(self.tracking_uids)


@dataclass(frozen=True)
class Examined:
    """One result as its bytes say it is.

    Attributes
    ----------
    known
        What it may refer to by SOP Instance UID: sources with valid UIDs, and the results made before it.
    earlier
        Results of earlier revisions, the only ones that it may supersede.
    made
        The results made before it.
    """

    ds: Dataset
    result: EncodedResult
    request: ResultRequest
    profile: Profile
    known: Mapping[str, Referable]
    earlier: Mapping[str, Referable]
    made: Sequence[EncodedResult]

    @property
    def kind(self) -> ResultKind:
        """The kind of the result."""
        return self.result.kind

    @property
    def sources(self) -> Sequence[Source]:
        """Headers of the study's images."""
        return self.request.sources

    def shown_sources(self) -> list[Source]:
        """Return the sources that the result refers to."""
        referred = {item.get("ReferencedSOPInstanceUID") for item in items([self.ds])}
        return [source for source in self.sources if source.uid in referred]

    def shown_images(self) -> list[ImageFindings]:
        """Return the analysed images that the result refers to."""
        referred = {item.get("ReferencedSOPInstanceUID") for item in items([self.ds])}
        return [image for image in self.request.images if image.sop_instance_uid in referred]

    def shown_series(self) -> SeriesFindings | None:
        """Return the series that the result shows as a volume; None: it shows images, or the whole study."""
        named = {str(item.get("SeriesInstanceUID")) for item in self.ds.get("ReferencedSeriesSequence", ())}
        if self.kind is not ResultKind.SEG:
            return None
        return next((found for found in self.request.series if found.series_instance_uid in named), None)


Check = Callable[[Examined], Iterator[str]]
"""Yields what is wrong, and no value of the patient."""


def items(sequence: Sequence[Dataset]) -> Iterator[Dataset]:
    """Yield every data set of a sequence, and of the sequences in it."""
    for item in sequence:
        yield item
        for element in item:
            if element.VR == "SQ":
                yield from items(element.value)
