"""The DICOM file format (PS3.10 section 7.1): write the File Meta Information, find where it ends, name the content.

Neither function reads the data set. Written for bytes of unknown origin: every length is bounded before it is used.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from node.dicom.elements import LONG_VRS
from node.errors import Quarantined
from node.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.reasons import Reason

MAXIMUM_META_BYTES: Final = 1 << 16
"""Largest File Meta group that is read; real ones are under 1 KB."""

_PREAMBLE: Final = bytes(128) + b"DICM"
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What the File Meta Information of one file says."""

    transfer_syntax_uid: str
    sop_class_uid: str | None
    """Media Storage SOP Class UID; None when it is absent."""
    sop_instance_uid: str | None
    """Media Storage SOP Instance UID; None when it is absent."""
    implementation_class_uid: str | None
    """Who wrote the file; None when it is absent."""
    dataset_offset: int
    """Position of the data set's first byte."""


def encode_meta(*, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae_title: str) -> bytes:
    """Encode preamble, prefix and File Meta Information (PS3.10 Table 7.1-1).

    Parameters
    ----------
    sop_class_uid, sop_instance_uid
        As announced in the C-STORE request; not compared with the data set, which nobody has read yet.
    transfer_syntax_uid
        Of the data set that will follow.
    source_ae_title
        The AE that sent the data set.
    """
    elements = b"".join(
        (
            _element(0x0001, b"OB", b"\x00\x01"),
            _element(0x0002, b"UI", sop_class_uid.encode("latin-1")),
            _element(0x0003, b"UI", sop_instance_uid.encode("latin-1")),
            _element(0x0010, b"UI", transfer_syntax_uid.encode("latin-1")),
            _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID.encode("latin-1")),
            _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode("latin-1")),
            _element(0x0016, b"AE", source_ae_title.encode("latin-1", "replace")),
        )
    )
    return _PREAMBLE + _element(0x0000, b"UL", struct.pack("<L", len(elements))) + elements


def read_meta(file: BinaryIO) -> FileMeta:
    """Read the File Meta Information; the file is left at the data set's first byte.

    Raises
    ------
    Quarantined
        The prefix is missing, the group is cut off, its length is wrong, or it names no transfer syntax.
    """
    head = file.read(len(_PREAMBLE) + MAXIMUM_META_BYTES)
    if head[128:132] != b"DICM":
        raise Quarantined(Reason.MALFORMED, "no DICM prefix after the preamble (PS3.10 section 7.1)")
    values, end = _read_group(head, len(_PREAMBLE))
    syntax = values.get(0x0010)
    if not syntax:
        raise Quarantined(Reason.TRANSFER_SYNTAX, "the File Meta Information names no transfer syntax (0002,0010)")
    file.seek(end)
    return FileMeta(
        transfer_syntax_uid=syntax,
        sop_class_uid=values.get(0x0002),
        sop_instance_uid=values.get(0x0003),
        implementation_class_uid=values.get(0x0012),
        dataset_offset=end,
    )


def identity_digest(path: Path) -> tuple[str, int]:
    """Name the content of a file: SHA-256 over the transfer syntax UID and the data set's bytes.

    The File Meta Information is left out but for the transfer syntax: it is written by the receiver, and another
    version of the receiver would change it. A file without a readable File Meta group is named by all its bytes.

    Returns
    -------
    tuple
        The digest (lower-case hexadecimal) and the size of the whole file in bytes.
    """
    with path.open("rb") as file:
        return identity_digest_of(file), file.tell()


def identity_digest_of(file: BinaryIO) -> str:
    """Name the content of an open file, as `identity_digest` does; the file is left at its end."""
    digest = hashlib.sha256()
    try:
        digest.update(read_meta(file).transfer_syntax_uid.encode("latin-1", "replace") + b"\0")
    except Quarantined:
        file.seek(0)
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _element(number: int, vr: bytes, value: bytes) -> bytes:
    """Encode one element of group 0002 (explicit VR little endian), padded to even length."""
    if len(value) % 2:
        value += b" " if vr in (b"SH", b"AE") else b"\0"
    if vr in LONG_VRS:
        return struct.pack("<HH2sHL", 2, number, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", 2, number, vr, len(value)) + value


def _read_group(head: bytes, start: int) -> tuple[dict[int, str], int]:
    """Read the elements of group 0002 as text by element number, and the position after them."""
    values: dict[int, str] = {}
    position, announced = start, None
    while head[position : position + 2] == b"\x02\x00":
        if position + 12 > len(head):
            raise Quarantined(Reason.TRUNCATED, "the File Meta Information is cut off")
        number = int.from_bytes(head[position + 2 : position + 4], "little")
        vr = head[position + 4 : position + 6]
        if vr in LONG_VRS:
            length, value_at = int.from_bytes(head[position + 8 : position + 12], "little"), position + 12
        else:
            length, value_at = int.from_bytes(head[position + 6 : position + 8], "little"), position + 8
        position = value_at + length
        if position > len(head):
            raise Quarantined(Reason.TRUNCATED, f"(0002,{number:04X}) reaches beyond the File Meta Information")
        value = head[value_at:position]
        if number == 0 and length == 4:
            announced = position + int.from_bytes(value, "little")
        values[number] = value.decode("latin-1").rstrip("\0 ")
    if announced is not None and announced != position:
        raise Quarantined(
            Reason.MALFORMED, f"File Meta group length ends at byte {announced}, the group at byte {position}"
        )
    return values, position
