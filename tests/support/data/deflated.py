"""Deflated Part 10 files (PS3.5 section A.5), among them some that would fill the memory."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom import Dataset, dcmread

from node.dicom.deflated import MAXIMUM_HEAD_BYTES
from node.dicom.part10 import encode_meta
from node.dicom.uids import DEFLATED_LITTLE_ENDIAN
from tests.support.data import sources
from tests.support.peers.event_reports import encoded

BOMB_BYTES = 1 << 28
"""Length of a value that deflates to a quarter of a megabyte."""


def image(folder: Path, sop_class: str = sources.SC) -> Dataset:
    """Return a small image."""
    return dcmread(sources.source(folder, sop_class=sop_class))


def deflated(path: Path, ds: Dataset, *, bomb: tuple[int, int] | None = None) -> Path:
    """Write a data set as a deflated file; `bomb` is a tag (group, element) under which it gets `BOMB_BYTES` zeros."""
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    tag = bomb or (0xFFFF, 0xFFFF)
    before, behind = (encoded(part) for part in (ds[: tag[0] << 16 | tag[1]], ds[tag[0] << 16 | tag[1] :]))
    content = [compressor.compress(before)]
    if bomb is not None:
        content.append(compressor.compress(struct.pack("<HH2sHL", *tag, b"OB", 0, BOMB_BYTES)))
        content += [compressor.compress(bytes(1 << 22)) for _ in range(BOMB_BYTES >> 22)]
    content += [compressor.compress(behind), compressor.flush()]
    path.write_bytes(meta_of(ds.SOPClassUID, ds.SOPInstanceUID) + b"".join(content))
    return path


def meta_of(sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """Encode the File Meta Information of a deflated file."""
    return encode_meta(
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_instance_uid,
        transfer_syntax_uid=DEFLATED_LITTLE_ENDIAN,
        source_ae_title="TEST",
    )


@contextmanager
def little_memory() -> Iterator[None]:
    """Fail where the block holds much more than the part that may be inflated."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * MAXIMUM_HEAD_BYTES
