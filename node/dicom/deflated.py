"""The beginning of a deflated data set (PS3.5 section A.5), inflated within bounds, whatever its bytes are.

A kilobyte of deflated zeros is a megabyte; so no received object is inflated whole, here or elsewhere. Results are
taken in this transfer syntax so that those which are routed back are recognised; all that is needed of one stands
before the pixels, and before the content of a report.
"""

from __future__ import annotations

import zlib
from typing import Final

from node.errors import Quarantined
from node.reasons import Reason

MAXIMUM_HEAD_BYTES: Final = 1 << 20
"""Most bytes that are read of a deflated data set, and most that are inflated from them; a result needs about 2 KB."""


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
