"""Whose an image is, as bytes: what results repeat so that an archive files them with the image, never decoded.

Text for people is another thing (`workers.results.sources.values`): decoding and encoding again loses what a codec does
not know, code extensions (ISO 2022) above all, and a backslash in a value of one part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pydicom.dataset import Dataset

from node.dicom.elements import Tag
from workers.results.sources.attributes import SourceAttributes

ATTRIBUTES: Final = {
    0x00080020: "StudyDate",
    0x00080030: "StudyTime",
    0x00080050: "AccessionNumber",
    0x00080090: "ReferringPhysicianName",
    0x00081030: "StudyDescription",
    0x00100010: "PatientName",
    0x00100020: "PatientID",
    0x00100021: "IssuerOfPatientID",
    0x00100030: "PatientBirthDate",
    0x00100040: "PatientSex",
    0x00101010: "PatientAge",
    0x00200010: "StudyID",
}
"""Attributes of patient and study, by tag."""

ACCESSION_NUMBER: Final = 0x00080050
PATIENT_ID: Final = 0x00100020
ISSUER_OF_ACCESSION_NUMBER: Final = 0x00080051
REQUEST_ATTRIBUTES: Final = 0x00400275
REFERENCED_REQUEST: Final = 0x0040A370

_ALWAYS: Final = frozenset({"AccessionNumber", "PatientID", "PatientName"})
"""Kept whatever their form: an archive files by them. Of the others only what is a value of its VR."""

_PADDING: Final = b" \0"
_DEFAULT_REPERTOIRE: Final = frozenset(range(0x80)) - {0x1B}


@dataclass(frozen=True)
class Identity:
    """The bytes of one image's identity, but for padding to even length.

    Attributes
    ----------
    character_set
        Specific Character Set (0008,0005); None: absent or empty.
    values
        By tag, those of `ATTRIBUTES` that results have.
    issuer
        The item of the Issuer of Accession Number Sequence; empty: none.
    requests
        The items of the Request Attributes Sequence.
    """

    character_set: bytes | None = None
    values: Mapping[int, bytes] = field(default_factory=dict)
    issuer: Mapping[int, bytes] = field(default_factory=dict)
    requests: tuple[Mapping[int, bytes], ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether it reads the same in every character set."""
        texts = (self.values, self.issuer, *self.requests)
        return all(_DEFAULT_REPERTOIRE.issuperset(value) for text in texts for value in text.values())


def identity_of(attributes: SourceAttributes, clean: Dataset, requests: Sequence[Dataset]) -> Identity:
    """Take the identity of an object.

    Parameters
    ----------
    clean
        The header that results repeat.
    requests
        The items of its Request Attributes Sequence that results repeat.
    """
    issuers = attributes.items.get(ISSUER_OF_ACCESSION_NUMBER, ())
    has_issuer = issuers and "IssuerOfAccessionNumberSequence" in clean
    named = {tag: attributes.raw.get(tag, b"") for tag in ATTRIBUTES}
    return Identity(
        character_set=attributes.raw.get(Tag.SPECIFIC_CHARACTER_SET, b"").strip(_PADDING) or None,
        values={
            tag: value
            for tag, value in named.items()
            if value.strip(_PADDING) and (ATTRIBUTES[tag] in _ALWAYS or clean.get(ATTRIBUTES[tag]))
        },
        issuer=_of(clean.IssuerOfAccessionNumberSequence[0], issuers[0]) if has_issuer else {},
        requests=tuple(map(_of, requests, attributes.items.get(REQUEST_ATTRIBUTES, ()))),
    )


def _of(clean: Dataset, raw: Mapping[int, bytes]) -> Mapping[int, bytes]:
    """Return the bytes of those attributes of an item that results repeat."""
    return {int(tag): raw[tag] for tag in clean.keys() & raw.keys()}
