"""Presentation contexts: one table of SOP classes and transfer syntaxes, for receiver, intake, workers and document.

The list is short on purpose: it is negotiated for each association. What is stored here but not analysed (multi-frame,
For Processing, results) is accepted so that it can be answered or ignored with a reason instead of failing at
the sender.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from node.dicom.kinds import RESULT_CLASSES, ResultKind
from node.dicom.uids import (
    COMPUTED_RADIOGRAPHY,
    DEFLATED_LITTLE_ENDIAN,
    DIGITAL_XRAY,
    DIGITAL_XRAY_FOR_PROCESSING,
    EXPLICIT_LITTLE_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
    RLE_LOSSLESS,
    SECONDARY_CAPTURE,
    STORAGE_COMMITMENT,
    UNCOMPRESSED,
    VERIFICATION_SOP_CLASS,
)

PROVIDERS: Final = frozenset({STORAGE_COMMITMENT})
"""SOP classes whose provider opens the association to its user, this node: it must propose the role of SCP for itself
(PS3.7 section D.3.3.4). In every other class whoever opens the association is the user."""


class Use(StrEnum):
    """What becomes of an object of a SOP class."""

    ANALYSED = "analysed"
    ANSWERED = "answered as not analysable"
    IGNORED = "recorded and ignored"


@dataclass(frozen=True, slots=True)
class StorageClass:
    """A row of the SOP class table (PS3.4 Table B.5-1)."""

    uid: str
    name: str
    use: Use
    compressed: bool = True
    """Whether encapsulated transfer syntaxes are accepted too."""


STORAGE_CLASSES: Final = (
    StorageClass(COMPUTED_RADIOGRAPHY, "Computed Radiography Image Storage", Use.ANALYSED),
    StorageClass(DIGITAL_XRAY, "Digital X-Ray Image Storage - For Presentation", Use.ANALYSED),
    StorageClass(DIGITAL_XRAY_FOR_PROCESSING, "Digital X-Ray Image Storage - For Processing", Use.ANSWERED),
    StorageClass(SECONDARY_CAPTURE, "Secondary Capture Image Storage", Use.ANALYSED),
    StorageClass(
        "1.2.840.10008.5.1.4.1.1.7.2",
        "Multi-frame Grayscale Byte Secondary Capture Image Storage",
        Use.ANSWERED,
    ),
    StorageClass(
        "1.2.840.10008.5.1.4.1.1.7.3",
        "Multi-frame Grayscale Word Secondary Capture Image Storage",
        Use.ANSWERED,
    ),
    StorageClass(
        "1.2.840.10008.5.1.4.1.1.7.4",
        "Multi-frame True Color Secondary Capture Image Storage",
        Use.ANSWERED,
    ),
    # Results that are routed back; a Secondary Capture is among the classes above.
    *(
        StorageClass(row.sop_class_uid, row.name, Use.IGNORED, compressed=row.kind is ResultKind.SEG)
        for row in RESULT_CLASSES
        if row.kind is not ResultKind.SC
    ),
)


@dataclass(frozen=True, slots=True)
class Syntax:
    """A row of the transfer syntax table (PS3.5 Annex A)."""

    uid: str
    name: str
    decoders: tuple[str, ...] = ()
    """Modules of which one must be installed where pixels are decoded; empty: none is needed."""
    encapsulated: bool = True
    explicit_vr: bool = True


_J2K: Final = ("openjpeg", "gdcm")
_JPEG_LOSSLESS: Final = ("gdcm", "libjpeg")
_JPEG_LS: Final = ("jpeg_ls", "gdcm")

# Explicit VR Big Endian is retired (PS3.5 section A.3, 2006) and left out. JPEG Extended with 12 bits is decoded by
# pylibjpeg-libjpeg only (GPL-3, optional): gdcm claims it and fails (measured).
TRANSFER_SYNTAXES: Final = (
    Syntax(EXPLICIT_LITTLE_ENDIAN, "Explicit VR Little Endian", encapsulated=False),
    Syntax(IMPLICIT_LITTLE_ENDIAN, "Implicit VR Little Endian", encapsulated=False, explicit_vr=False),
    Syntax("1.2.840.10008.1.2.4.70", "JPEG Lossless, Non-Hierarchical, First-Order Prediction", _JPEG_LOSSLESS),
    Syntax("1.2.840.10008.1.2.4.57", "JPEG Lossless, Non-Hierarchical (Process 14)", _JPEG_LOSSLESS),
    Syntax("1.2.840.10008.1.2.4.80", "JPEG-LS Lossless", _JPEG_LS),
    Syntax("1.2.840.10008.1.2.4.81", "JPEG-LS Lossy (Near-Lossless)", _JPEG_LS),
    Syntax(JPEG_2000_LOSSLESS, "JPEG 2000 (Lossless Only)", _J2K),
    Syntax("1.2.840.10008.1.2.4.91", "JPEG 2000", _J2K),
    Syntax("1.2.840.10008.1.2.4.201", "High-Throughput JPEG 2000 (Lossless Only)", ("openjpeg",)),
    Syntax("1.2.840.10008.1.2.4.202", "High-Throughput JPEG 2000 with RPCL Options (Lossless Only)", ("openjpeg",)),
    Syntax("1.2.840.10008.1.2.4.203", "High-Throughput JPEG 2000", ("openjpeg",)),
    Syntax(RLE_LOSSLESS, "RLE Lossless"),
    Syntax("1.2.840.10008.1.2.4.50", "JPEG Baseline (Process 1)", ("PIL", "gdcm", "libjpeg")),
    Syntax("1.2.840.10008.1.2.4.51", "JPEG Extended (Process 2 and 4)", ("libjpeg",)),
)

DEFLATED: Final = Syntax(DEFLATED_LITTLE_ENDIAN, "Deflated Explicit VR Little Endian", encapsulated=False)
"""For the SOP classes of results only, which come back in the encoding that they were sent in. Its pixels are not
decoded: that would inflate bytes of unknown origin, and whoever has it can send Explicit VR Little Endian."""

WORKER_DECODERS: Final = frozenset({"PIL", "gdcm", "jpeg_ls", "openjpeg"})
"""Decoder modules that the `worker` extra installs: what the receiver assumes where settings declare nothing."""

BY_UID: Final = {row.uid: row for row in (*TRANSFER_SYNTAXES, DEFLATED)}
CLASS_BY_UID: Final = {row.uid: row for row in STORAGE_CLASSES}


def accepted_syntaxes(decoders: Collection[str] = WORKER_DECODERS) -> tuple[Syntax, ...]:
    """Select the transfer syntaxes whose pixels can be decoded.

    Parameters
    ----------
    decoders
        Names of decoder modules, as in `Syntax.decoders`, that the workers have. The receiver itself decodes nothing.
    """
    return tuple(row for row in TRANSFER_SYNTAXES if not row.decoders or not set(row.decoders).isdisjoint(decoders))


def accepted_contexts(
    decoders: Collection[str] = WORKER_DECODERS, also: Sequence[StorageClass] = ()
) -> dict[str, tuple[str, ...]]:
    """List the transfer syntax UIDs that are accepted for each SOP class UID, Verification and the like included.

    Parameters
    ----------
    also
        SOP classes of pipelines that rules name, beside those that are always accepted.
    """
    syntaxes = accepted_syntaxes(decoders)
    uncompressed = tuple(row.uid for row in syntaxes if not row.encapsulated)
    contexts: dict[str, tuple[str, ...]] = {VERIFICATION_SOP_CLASS: UNCOMPRESSED, STORAGE_COMMITMENT: UNCOMPRESSED}
    results = {row.sop_class_uid for row in RESULT_CLASSES}
    for row in (*STORAGE_CLASSES, *also):
        contexts[row.uid] = tuple(s.uid for s in syntaxes) if row.compressed else uncompressed
        contexts[row.uid] += (DEFLATED.uid,) if row.uid in results else ()
    return contexts


def choose_syntax(proposed: Iterable[str], accepted: Collection[str]) -> str | None:
    """Choose the transfer syntax of one context: the first of the sender's that we accept, Deflated only if no other.

    The sender's order is its preference; taking the first saves it a transcoding. None: there is no such syntax.
    """
    both = [uid for uid in proposed if uid in accepted]
    return next((uid for uid in both if uid != DEFLATED.uid), both[0] if both else None)
