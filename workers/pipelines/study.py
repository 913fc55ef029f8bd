"""A study as one job sees it: every image's header is read once, here, and travels; only pixels are read again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path

from node.dicom.header import Header, header_of
from node.errors import Quarantined
from node.reasons import Reason
from workers.results.sources.patients import SEPARATED, of_first_patient
from workers.results.sources.radiographs import Radiographs
from workers.results.sources.source import Source, in_order, read_source


@dataclass(frozen=True)
class StudyImage:
    """One image: its Part 10 file, its header as the node and as results see it, and what was decided of it.

    Attributes
    ----------
    path
        Owned by the spool or by the user; never changed.
    digest
        SHA-256 of the content (`node.dicom.part10.identity_digest`), in hex; names what was computed of the image.
    header
        None where the node cannot use it; `unusable` then says why.
    source
        None where it has no header that results could repeat.
    declined
        The reason for which it is not analysed; None: it is.
    detail
        One sentence to that reason.
    assumed_age_years
        The age in `header`, where the image gives none and the site's rule assumes it.
    """

    path: Path
    digest: str
    sop_instance_uid: str
    header: Header | None
    source: Source | None
    declined: Reason | None = None
    detail: str = ""
    unusable: str = ""
    assumed_age_years: float | None = None


@dataclass(frozen=True)
class Study:
    """The images of one study in the order in which they came."""

    study_instance_uid: str
    images: tuple[StudyImage, ...]
    radiographs: Radiographs = field(default_factory=Radiographs, compare=False)

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """Headers for the results, in order and named."""
        return in_order(source for source in map(self._own, self.images) if source is not None)

    def assuming(self, age_years: float | None) -> Study:
        """Return the study with an age for each image that gives none that can be true; None: it stays unknown."""
        if age_years is None:
            return self
        images = tuple(
            replace(image, header=replace(image.header, age_years=age_years), assumed_age_years=age_years)
            if image.header is not None and image.header.age_years is None
            else image
            for image in self.images
        )
        return replace(self, images=images)

    def without_headers(self) -> Study:
        """Return the study as its rows have it: UIDs, and what was decided of each image."""
        return replace(self, images=tuple(replace(image, header=None, source=None) for image in self.images))

    def _own(self, image: StudyImage) -> Source | None:
        """Return the header of an image; one that names another study than its row is none that results may repeat."""
        source = image.source
        return source if source is not None and source.header.StudyInstanceUID == self.study_instance_uid else None

    def of_one_patient(self) -> tuple[Study, tuple[str, ...]]:
        """Return the study that results may speak of, and the SOP Instance UIDs of images of other patients.

        Where there are others, none of the images is analysed: no result may be filed with a patient whose image it
        does not speak of.
        """
        own = of_first_patient([self._own(image) for image in self.images])
        if all(own):
            return self, ()
        mine = tuple(
            replace(image, declined=Reason.DIFFERENT_PATIENTS, detail=SEPARATED)
            for image, is_own in zip(self.images, own, strict=True)
            if is_own
        )
        others = tuple(image.sop_instance_uid for image, is_own in zip(self.images, own, strict=True) if not is_own)
        return replace(self, images=mine), others


def read_image(
    path: Path,
    *,
    digest: str,
    content: bytes | None = None,
    sop_instance_uid: str | None = None,
    declined: Reason | None = None,
    detail: str = "",
) -> StudyImage:
    """Read the header of one file.

    Parameters
    ----------
    content
        The file's bytes, where they were read already; None reads the file.
    sop_instance_uid
        As recorded; None takes that of the header.

    Raises
    ------
    OSError
        The file is missing or cannot be read, which is no property of the object.
    """
    file, header, unusable = BytesIO(path.read_bytes() if content is None else content), None, ""
    try:
        header = header_of(file)
    except Quarantined as error:
        unusable = error.detail
    source = read_source(file, path)
    uid = sop_instance_uid or (header.sop_instance_uid if header else source.uid if source else "")
    return StudyImage(path, digest, uid, header, source, declined, detail, unusable)
