"""How a destination wants its results: which objects, in which encoding, with which concessions to viewers. Data only.

A destination names a profile (`destinations.NAME.profile`): one of `BUILT_IN`, or one of the site's own (`profiles`).
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from node.dicom.kinds import COMPRESSED_SYNTAXES, KINDS, ResultClass, ResultKind
from node.dicom.uids import EXPLICIT_LITTLE_ENDIAN


class Profile(BaseModel):
    """One way to encode results."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: str = Field(min_length=1, max_length=32, pattern=r"^[a-z0-9][a-z0-9-]*$")
    """What destinations call it: small letters, digits and hyphens. It is part of the results' UIDs."""
    purpose: str = ""
    """For whom it is, in one sentence."""
    objects: tuple[ResultKind, ...] = (ResultKind.SEG, ResultKind.SR)
    """Which objects are made; the SR is always needed, because every study is answered with one."""
    segmentation: Literal["BINARY", "LABELMAP"] = "BINARY"
    """Segmentation Type (0062,0001). LABELMAP is smaller, and unknown to software from before 2024."""
    compression: Literal["none", "deflated", "rle", "jpeg-2000"] = "none"
    """Transfer syntax of those objects that can have it; the others stay in Explicit VR Little Endian."""
    plane_orientation: bool = False
    """Plane Orientation in the SEG of an image without Frame of Reference, and Pixel Measures where it has no Pixel
    Spacing: Standard Extended, OHIF needs both."""
    split_segments: bool = False
    """A SEG for each segment where rows × columns is no multiple of 16: OHIF 3.13.2 shears the frames after the first
    of a BINARY SEG where they do not begin at a byte, and does not load one whose pixel data had to be padded."""
    text_report: bool = False
    """An SR that OHIF shows as text: titled Diagnostic Imaging Report, the result in sentences at its beginning, its
    Instance Number falling with each revision. Otherwise titled Imaging Measurement Report, these sentences among the
    Qualitative Evaluations at the end, the number being the revision."""
    language: Literal["en", "de", "fr"] = "en"
    """Language of the texts of report and pictures (RFC 5646): English, German or French; codes and numbers stay."""

    @model_validator(mode="after")
    def _can_be(self) -> Profile:
        if ResultKind.SR not in self.objects:
            raise ValueError("objects must hold SR: every study is answered with a report")
        if len(set(self.objects)) < len(self.objects):
            raise ValueError("objects names one kind twice")
        syntaxes = {self.transfer_syntax(kind) for kind in self.objects}
        if self.compression != "none" and syntaxes == {EXPLICIT_LITTLE_ENDIAN}:
            raise ValueError(
                f"compression {self.compression!r} fits none of the objects {', '.join(self.objects)} with "
                f"{self.segmentation} segmentation; rle needs LABELMAP"
            )
        return self

    @property
    def identity(self) -> str:
        """What results derive their UIDs from: the name, and a digest of everything that decides their bytes."""
        content = self.model_dump_json(exclude={"purpose"})
        return f"{self.name}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"

    def makes(self, kind: ResultKind) -> bool:
        """Return whether results of this kind are made."""
        return kind in self.objects

    def transfer_syntax(self, kind: ResultKind) -> str:
        """Return the UID of the transfer syntax of one kind of object."""
        if self.compression != "none" and self.compression in self.sop_class(kind).compressions:
            return COMPRESSED_SYNTAXES[self.compression]
        return EXPLICIT_LITTLE_ENDIAN

    def sop_class(self, kind: ResultKind) -> ResultClass:
        """Return the SOP class of one kind of object."""
        return KINDS[kind].classes[-1 if self.segmentation == "LABELMAP" else 0]


OHIF: Final = Profile(
    name="ohif",
    purpose="OHIF and other cornerstone viewers, and what reads Segmentation and Structured Report beside them.",
    plane_orientation=True,
    split_segments=True,
    text_report=True,
)
STRICT: Final = Profile(
    name="strict",
    purpose="Archives and viewers that check against PS3.3 to the letter.",
)
BUILT_IN: Final = {
    profile.name: profile
    for profile in (
        OHIF,
        STRICT,
        Profile(
            name="secondary-capture",
            purpose="Viewers that draw no Segmentation, Horos and many others: the overlay burnt into a picture.",
            objects=(ResultKind.SC, ResultKind.SR),
            text_report=True,
        ),
        Profile(
            name="presentation-state",
            purpose="Workstations that draw Presentation States over the image, but no Segmentation.",
            objects=(ResultKind.PR, ResultKind.KO, ResultKind.SR),
        ),
        Profile(
            name="compressed",
            purpose="Archives that take JPEG 2000 Lossless for Segmentation, which is much smaller.",
            compression="jpeg-2000",
        ),
        Profile(
            name="labelmap",
            purpose="Archives and viewers since 2024 that know Label Map Segmentation, compressed by RLE.",
            segmentation="LABELMAP",
            compression="rle",
        ),
        Profile(
            name="complete",
            purpose="Everything that the node can make, for trying out and for research archives.",
            objects=tuple(ResultKind),
            plane_orientation=True,
            split_segments=True,
            text_report=True,
        ),
    )
}
"""Profiles that every destination may name."""
