"""The bytes of a data set: mapped, or of a deflated one (PS3.5 section A.5) its beginning, inflated within bounds.

A kilobyte of deflated zeros is a megabyte; so no received object is inflated whole, here or elsewhere. Results are
taken in this transfer syntax so that those which are routed back are recognised; all that is needed of one stands
before the pixels, and before the content of a report.
"""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from typing import BinaryIO, Final

from node.dicom.contexts import DEFLATED
from node.dicom.elements import Buffer
from node.dicom.part10 import FileMeta, read_meta
from node.errors import Quarantined
from node.reasons import Reason

MAXIMUM_HEAD_BYTES: Final = 1 << 20
"""Most bytes that are read of a deflated data set, and most that are inflated from them; a result needs about 2 KB."""


@contextmanager
def data_set(file: BinaryIO) -> Iterator[tuple[Buffer, FileMeta]]:
    """Give the bytes of an open Part 10 file, or the inflated beginning of a deflated one, and where they begin.

    Raises
    ------
    Quarantined
        It is no Part 10 file, or cannot be inflated.
    """
    meta = read_meta(file)
    if meta.transfer_syntax_uid == DEFLATED.uid:
        yield inflated_head(file.read(MAXIMUM_HEAD_BYTES)), replace(meta, dataset_offset=0)
    elif isinstance(file, BytesIO):
        yield file.getvalue(), meta
    else:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data, meta


def inflated_head(deflated: bytes) -> bytes:
    """Inflate the beginning of a data set: at most `MAXIMUM_HEAD_BYTES`, from at most as many.

    Parameters
    ----------
    deflated
        The data set as it was received (RFC 1951, without the header of RFC 1950), or its beginning.

    Returns
    -------
    bytes
        In Explicit VR Little Endian; it may end anywhere within an element.

    Raises
    ------
    Quarantined
        The bytes are not deflated data.
    """
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(deflated[:MAXIMUM_HEAD_BYTES], MAXIMUM_HEAD_BYTES)
    except zlib.error as error:
        raise Quarantined(Reason.MALFORMED, "the deflated data set cannot be inflated") from error
