"""The last step of every result: what the clock or chance put into it is replaced, and it becomes bytes."""

from __future__ import annotations

import zlib
from datetime import datetime, timedelta, timezone
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import DA, DT, TM

from node.delivery.profiles import STRICT, Profile
from node.dicom.kinds import KINDS, REQUEST_ATTRIBUTES, ResultKind
from node.dicom.part10 import read_meta
from node.dicom.uids import DEFLATED_LITTLE_ENDIAN, RLE_LOSSLESS
from node.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from workers.results.parts.identity import derived_uid
from workers.results.parts.references import request_attributes
from workers.results.request import EncodedResult
from workers.results.sources.source import Source
from workers.results.stamp import prepare, stamped

_DATE, _TIME, _DATE_TIME = "%Y%m%d", "%H%M%S", "%Y%m%d%H%M%S%z"
_EVENTS = ("Content", "PresentationCreation")
"""When content was made: which of these dates and times an object has depends on its IOD."""
_PREFIX = 132
"""Bytes of preamble and prefix (PS3.10 section 7.1)."""


def local_time(created_at: datetime, source: Source) -> datetime:
    """Return the moment in the time zone of the source object, where it names one (0008,0201).

    Dates and times of an object are read in its Timezone Offset From UTC; a result copies it together with the study's
    date and time. Without it, the moment stays in the zone in which it was given.

    Raises
    ------
    ValueError
        `created_at` has no time zone.
    """
    if created_at.tzinfo is None:
        raise ValueError("created_at must carry a time zone")
    offset = source.header.get("TimezoneOffsetFromUTC")
    if not offset:
        return created_at
    sign = -1 if offset[0] == "-" else 1
    return created_at.astimezone(timezone(sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[3:5]))))


def written(
    ds: Dataset, kind: ResultKind, source: Source, created_at: datetime, profile: Profile = STRICT
) -> EncodedResult:
    """Pin what the libraries took from the clock, name the order, and write the object (PS3.10 section 7) for good.

    Pixel data in JPEG 2000 has its transfer syntax already; RLE and Deflated (PS3.5 section A.5) are made here.
    """
    _compress(ds, profile.transfer_syntax(kind))
    _complete(ds)
    moment = local_time(created_at, source)
    asked = request_attributes(source)
    if asked and KINDS[kind].order == REQUEST_ATTRIBUTES:
        ds.RequestAttributesSequence = asked
    if "TimezoneOffsetFromUTC" in source.header:
        ds.TimezoneOffsetFromUTC = source.header.TimezoneOffsetFromUTC
    ds.InstanceCreationDate, ds.InstanceCreationTime = DA(moment.strftime(_DATE)), TM(moment.strftime(_TIME))
    for event in _EVENTS:
        if f"{event}Date" in ds:
            setattr(ds, f"{event}Date", DA(moment.strftime(_DATE)))
            setattr(ds, f"{event}Time", TM(moment.strftime(_TIME)))
    for item in ds.ContributingEquipmentSequence:
        item.ContributionDateTime = DT(moment.strftime(_DATE_TIME))
    character_set = prepare(ds, source.identity)
    ds.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    ds.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return EncodedResult(
        kind=kind,
        sop_class_uid=str(ds.SOPClassUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
        series_instance_uid=str(ds.SeriesInstanceUID),
        content=_encoded(ds, source, character_set),
    )


def _compress(ds: Dataset, syntax: str) -> None:
    if syntax == DEFLATED_LITTLE_ENDIAN:
        ds.file_meta.TransferSyntaxUID = UID(DEFLATED_LITTLE_ENDIAN)
    elif syntax == RLE_LOSSLESS:
        # The encoder that highdicom would take, gdcm's, ends the process on an image of odd width (measured).
        ds.compress(RLE_LOSSLESS, encoding_plugin="pylibjpeg", generate_instance_uid=False)


def _encoded(ds: Dataset, source: Source, character_set: bytes | None) -> bytes:
    """Write the object in explicit VR, stamp the identity into it, and deflate it where that was asked for."""
    deflated = ds.file_meta.TransferSyntaxUID == DEFLATED_LITTLE_ENDIAN
    if deflated:
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    start = read_meta(buffer).dataset_offset
    content = stamped(buffer.getvalue()[start:], source, character_set=character_set)
    if not deflated:
        return buffer.getvalue()[:start] + content
    ds.file_meta.TransferSyntaxUID = UID(DEFLATED_LITTLE_ENDIAN)
    head = DicomBytesIO()
    head.write(buffer.getvalue()[:_PREFIX])
    write_file_meta_info(head, ds.file_meta)
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = compressor.compress(content) + compressor.flush()
    return head.getvalue() + packed + b"\0" * (len(packed) % 2)


def _complete(ds: Dataset) -> None:
    """Add what the multi-frame IODs ask for and highdicom leaves out, and replace the UID that it draws by chance."""
    if "DimensionOrganizationSequence" not in ds:
        return
    if "ContentCreatorName" not in ds:
        ds.ContentCreatorName = None
    organization = UID(derived_uid("dimensions", str(ds.SOPInstanceUID)))
    for item in (*ds.DimensionOrganizationSequence, *ds.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
