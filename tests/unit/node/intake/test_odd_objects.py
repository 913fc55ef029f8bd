"""Odd objects that other projects keep, and real ones: what becomes of each, by its header alone.

Beside each stands a small one of our own that shows the same, so that the table holds where the data are not there.
"""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from node.errors import Quarantined
from node.intake.eligibility import judge
from node.intake.reading import examine_header
from node.reasons import Reason
from tests.support.data.elements import element, item, with_elements
from tests.support.data.radiographs import CR, SC, compressed, radiograph, smooth, write
from workers.pipelines.chest.pipeline import PIPELINE as CHEST

MAXIMUM_BYTES = 2 << 30
ACCEPTED = None

ODD = {
    "clunie-modality-lut-12in16": ACCEPTED,
    "clunie-sc-japanese-h32": ACCEPTED,
    "dcm4che-3gb-truncated": Reason.TRUNCATED,
    "dcmfx-deflated-image-frame": Reason.TRANSFER_SYNTAX,
    "dcmfx-presentation-lut-inverse": Reason.NOT_A_RADIOGRAPH,
    "dcmjs-no-meta-length": Reason.NOT_AN_IMAGE,
    "dwv-no-rows": Reason.INVALID_UID,
    "fodicom-chest-cr-no-preamble": Reason.MALFORMED,
    "fodicom-gh177-ivrle-bigendian": Reason.TRANSFER_SYNTAX,
    "microsoft-jpeg-process14": Reason.NOT_A_RADIOGRAPH,
    "orthanc-deflated": Reason.TRANSFER_SYNTAX,
    "orthanc-enhanced-no-pixels": Reason.NO_PIXEL_DATA,
    "orthanc-issue140-3x3-jpeglossless": Reason.TOO_SMALL,
    "orthanc-long-tag": Reason.NO_PIXEL_DATA,
    "orthanc-no-preamble-private": Reason.MALFORMED,
    "orthanc-oob-46341": Reason.ABSURD_GEOMETRY,
    "orthanc-patientid-collision-1": Reason.NOT_AN_IMAGE,
    "orthanc-patientid-collision-3": Reason.NOT_AN_IMAGE,
    "orthanc-unknown-sop-class": Reason.NOT_A_RADIOGRAPH,
    "pydicom-ambiguous-vr": Reason.TRUNCATED,
    "pydicom-bad-vr": Reason.MALFORMED,
    "pydicom-explicit-no-meta": Reason.MALFORMED,
    "pydicom-htj2k-rgb": Reason.INVALID_UID,
    "pydicom-j2k-gbr-order": ACCEPTED,
    "pydicom-j2k-truncated": Reason.TRUNCATED,
    "pydicom-meta-without-transfer-syntax": Reason.TRANSFER_SYNTAX,
    "pydicom-no-meta-group-length": Reason.INVALID_UID,
    "pydicom-pixeldata-padded": Reason.NOT_A_RADIOGRAPH,
    "pydicom-sc-rgb-3x3-odd-big-endian": Reason.TRANSFER_SYNTAX,
    "pydicom-truncated-in-header": Reason.TRUNCATED,
    "pydicom-un-sequence": Reason.INVALID_UID,
    "ruby-duplicate-elements": Reason.INVALID_UID,
    "ruby-xa-philips-private-sq-implicit": Reason.NOT_A_RADIOGRAPH,
}
REAL = {
    # Its pixels are colour: they decide.
    "chest-ai-result-burnt-in-rgb-sc": ACCEPTED,
    "chest-ai-result-sr": Reason.NOT_AN_IMAGE,
    "chest-cr-konica-mono1-8bit-jpegbaseline": ACCEPTED,
    "chest-dx-lateral-ge-14in16-j2k": Reason.LATERAL_VIEW,
    "chest-nih-sc-modality-dx-implicit": ACCEPTED,
    "chest-rsna-sc-jpegbaseline-ap": ACCEPTED,
    "notchest-cr-canon-pelvis-no-pixeldata": Reason.NO_PIXEL_DATA,
    "notchest-rf-multiframe-siemens": Reason.NOT_A_RADIOGRAPH,
}


def becomes(path: Path) -> Reason | None:
    """Return the reason why an object is not analysed, quarantined or declined; None: it is accepted."""
    try:
        return judge(examine_header(path, maximum_bytes=MAXIMUM_BYTES), CHEST).reason
    except Quarantined as error:
        return Reason(error.reason)


@pytest.mark.parametrize(("name", "reason"), ODD.items(), ids=ODD)
def test_odd_objects_of_other_projects(data_folder: Path, name: str, reason: Reason | None) -> None:
    path = data_folder / "odd-dicom" / f"{name}.dcm"
    if not path.exists():
        pytest.skip(f"no {path}")
    tracemalloc.start()
    try:
        assert becomes(path) == reason
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("name", "reason"), REAL.items(), ids=REAL)
def test_real_objects(data_folder: Path, name: str, reason: Reason | None) -> None:
    path = data_folder / "dicom" / f"{name}.dcm"
    if not path.exists():
        pytest.skip(f"no {path}")
    assert becomes(path) == reason


def big() -> Dataset:
    return radiograph(smooth(300, 280))


def secondary(**values: object) -> Dataset:
    return radiograph(smooth(300, 280), sop_class=SC, **{"BodyPartExamined": None, "ViewPosition": None, **values})


def lut() -> Dataset:
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType, table.LUTData = [4, 0, 16], "OD", bytes(8)
    return secondary(ModalityLUTSequence=Sequence([table]))


def cut_in_header(content: bytes) -> bytes:
    return content[: content.index(b"\x28\x00\x10\x00US") + 7]


def without_meta_length(content: bytes) -> bytes:
    return content[:132] + content[144:]


def without_transfer_syntax(content: bytes) -> bytes:
    at = content.index(b"\x02\x00\x10\x00UI")
    return content[:132] + content[144:at] + content[at + 8 + content[at + 6] :]


def three_gigabytes(content: bytes) -> bytes:
    at = content.index(b"\xe0\x7f\x10\x00OW")
    return content[: at + 8] + struct.pack("<L", 3_221_127_168) + content[at + 12 :]


def big_endian_body(content: bytes) -> bytes:
    start = content.index(b"\x08\x00\x05\x00CS")
    return content[:start] + b"\x00\x08\x00\x05CS\x00\x0a" + content[start + 8 :]


def twice(content: bytes) -> bytes:
    at = content.index(b"\x28\x00\x10\x00US")
    return content[:at] + content[at : at + 10] + content[at:]


OWN: dict[str, tuple[Callable[[], Dataset], Callable[[bytes], bytes] | None, Reason | None]] = {
    "a Modality LUT": (lut, None, ACCEPTED),
    "Japanese names": (lambda: secondary(SpecificCharacterSet=["", "ISO 2022 IR 87"]), None, ACCEPTED),
    "three gigabytes announced": (big, three_gigabytes, Reason.TRUNCATED),
    "a syntax that is not taken": (
        big,
        lambda content: content.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.8\0"),
        Reason.TRANSFER_SYNTAX,
    ),
    "no meta length": (big, without_meta_length, ACCEPTED),
    "no rows": (lambda: radiograph(Rows=None), None, Reason.ABSURD_GEOMETRY),
    "no preamble": (big, lambda content: content[132:], Reason.MALFORMED),
    "no preamble and no meta": (big, lambda content: content[content.index(b"\x08\x00\x05\x00CS") :], Reason.MALFORMED),
    "a big-endian body": (big, big_endian_body, Reason.TRANSFER_SYNTAX),
    "a class that nobody knows": (
        lambda: radiograph(SOPClassUID=UID("2.25.326410046515557697819279767240864278552")),
        None,
        Reason.NOT_A_RADIOGRAPH,
    ),
    "no pixels": (lambda: radiograph(PixelData=None), None, Reason.NO_PIXEL_DATA),
    "three by three": (lambda: radiograph(smooth(3, 3), sop_class=CR), None, Reason.TOO_SMALL),
    "46341 squared": (lambda: radiograph(Rows=46341, Columns=46341), None, Reason.ABSURD_GEOMETRY),
    "no image, of a class that is not taken": (
        lambda: radiograph(SOPClassUID=UID("1.2.840.10008.5.1.4.1.1.4"), Rows=None, Columns=None, PixelData=None),
        None,
        Reason.NOT_AN_IMAGE,
    ),
    "two bytes of pixels": (lambda: radiograph(PixelData=b"\0\0"), None, Reason.TRUNCATED),
    "values that break their VR": (
        big,
        lambda content: content.replace(
            b"\x28\x00\x10\x00US", element(0x00280008, b"IS", b"1A") + b"\x28\x00\x10\x00US"
        ),
        Reason.MALFORMED,
    ),
    "three samples that may be grey": (
        lambda: radiograph(
            smooth(300, 840).astype("uint8"), SamplesPerPixel=3, PhotometricInterpretation="RGB", Columns=280
        ),
        None,
        ACCEPTED,
    ),
    "a codestream that is cut off": (
        lambda: compressed(radiograph(), "1.2.840.10008.1.2.4.90"),
        lambda content: content[:-300],
        Reason.TRUNCATED,
    ),
    "no transfer syntax": (big, without_transfer_syntax, Reason.TRANSFER_SYNTAX),
    "no UID of the class": (
        big,
        lambda content: content.replace(b"\x08\x00\x16\x00UI", b"\x08\x00\x15\x00UI"),
        Reason.INVALID_UID,
    ),
    "pixels with padding": (
        lambda: radiograph(smooth(300, 281), PixelData=smooth(300, 281).tobytes() + b"\0\0"),
        None,
        ACCEPTED,
    ),
    "the end within an element": (big, cut_in_header, Reason.TRUNCATED),
    "an element twice": (big, twice, Reason.MALFORMED),
    "a lateral view by its orientation": (
        lambda: radiograph(smooth(300, 280), ViewPosition=None, PatientOrientation=["P", "F"]),
        None,
        Reason.LATERAL_VIEW,
    ),
    "no body part and no view": (
        lambda: radiograph(smooth(300, 280), sop_class=CR, BodyPartExamined=None, ViewPosition=None),
        None,
        ACCEPTED,
    ),
    "a Secondary Capture that is called DX": (lambda: secondary(Modality="DX"), None, ACCEPTED),
    "fluoroscopy": (
        lambda: radiograph(SOPClassUID=UID("1.2.840.10008.5.1.4.1.1.12.2"), Modality="RF"),
        None,
        Reason.NOT_A_RADIOGRAPH,
    ),
}


@pytest.mark.parametrize("name", OWN)
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_what_they_show_in_small_objects_of_our_own(tmp_path: Path, name: str) -> None:
    make, damage, reason = OWN[name]
    path = write(tmp_path / "object.dcm", make())
    if damage is not None:
        path.write_bytes(damage(path.read_bytes()))
    assert becomes(path) == reason


def test_sequences_stored_as_unknown_and_long_texts_are_none_of_our_business(tmp_path: Path) -> None:
    path = with_elements(write(tmp_path / "x.dcm", big()), element(0x00081030, b"LO", b"x" * 60_000))
    content = path.read_bytes()
    at = content.index(b"\x28\x00\x02\x00US")
    implicit = item(struct.pack("<HHL", 0x0008, 0x0100, 4) + b"CODE")
    unknown = struct.pack("<HH2sxxL", 0x0027, 0x1001, b"UN", 0xFFFFFFFF) + implicit
    unknown += struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    path.write_bytes(content[:at] + element(0x00270010, b"LO", b"PRIVATE") + unknown + content[at:])
    assert becomes(path) is ACCEPTED
