"""What an archive reports of storage commitment, as data sets and as bytes."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from tests.support.peers.pacs import SR


def encoded(ds: Dataset) -> bytes:
    """Encode a data set in Explicit VR Little Endian."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, ds)
    return buffer.getvalue()


def information(transaction_uid: str = "2.25.5", instance: str = "2.25.1") -> Dataset:
    """Return the Event Information of a report that one instance is committed (PS3.4 Table J.3-2)."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = SR, instance
    ds = Dataset()
    ds.TransactionUID, ds.ReferencedSOPSequence = transaction_uid, [item]
    return ds
