"""Reading headers: what is found in good files, and that bad bytes end in one exception only, quickly."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian

from node.dicom.elements import MAXIMUM_DEPTH
from node.dicom.header import CodedEntry, Equipment, Header, read_header
from node.dicom.part10 import encode_meta
from node.errors import Quarantined
from node.reasons import Reason
from tests.support.data.radiographs import compressed, radiograph, write, write_in

IMPLICIT, EXPLICIT, J2K = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90"


def code(value: str, scheme: str = "SCT", meaning: str = "meaning") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def read(tmp_path: Path, **values: object) -> Header:
    return read_header(write(tmp_path / "x.dcm", radiograph(**values)))


def refused(tmp_path: Path, **values: object) -> Quarantined:
    with pytest.raises(Quarantined) as raised:
        read(tmp_path, **values)
    return raised.value


def test_a_radiograph_is_read(tmp_path: Path) -> None:
    ds = radiograph(
        AnatomicRegionSequence=Sequence([code("816094009")]),
        ViewCodeSequence=Sequence([code("272479007")]),
        PatientOrientation=["L", "F"],
        PatientAge="062Y",
    )
    header = read_header(write(tmp_path / "x.dcm", ds))
    assert header.study_instance_uid == ds.StudyInstanceUID
    assert header.series_instance_uid == ds.SeriesInstanceUID
    assert header.sop_instance_uid == ds.SOPInstanceUID
    assert header.sop_class_uid == ds.SOPClassUID
    assert header.transfer_syntax_uid == EXPLICIT
    assert (header.rows, header.columns, header.frames, header.samples_per_pixel) == (48, 64, 1, 1)
    assert (header.bits_allocated, header.bits_stored, header.photometric_interpretation) == (16, 16, "MONOCHROME2")
    assert (header.modality, header.body_part, header.view_position) == ("DX", "CHEST", "PA")
    assert header.image_type == ("ORIGINAL", "PRIMARY")
    assert header.anatomic_region == CodedEntry("816094009", "SCT", "meaning")
    assert header.view_code == CodedEntry("272479007", "SCT", "meaning")
    assert header.patient_orientation == ("L", "F")
    assert header.presentation_intent == "FOR PRESENTATION"
    assert header.age_years == 62
    assert header.is_human is None
    assert header.contributing_equipment == ()


def test_no_name_and_no_identity_is_kept(tmp_path: Path) -> None:
    assert "lanted" not in repr(read(tmp_path)).casefold()


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, J2K])
def test_sequences_are_read_in_each_encoding(tmp_path: Path, syntax: str) -> None:
    purpose = code("109102", "DCM")
    item = Dataset()
    item.Manufacturer, item.PurposeOfReferenceCodeSequence = "Hilum", Sequence([purpose])
    item.DeviceUID = "2.25.1"
    ds = radiograph(ContributingEquipmentSequence=Sequence([item]), AnatomicRegionSequence=Sequence([]))
    if syntax == J2K:
        compressed(ds, J2K)
    elif syntax == IMPLICIT:
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    ds["ContributingEquipmentSequence"].is_undefined_length = True
    item.is_undefined_length_sequence_item = True
    header = read_header(write(tmp_path / "x.dcm", ds))
    assert header.contributing_equipment == (Equipment(CodedEntry("109102", "DCM", "meaning"), "Hilum", "2.25.1"),)
    assert header.anatomic_region is None


@pytest.mark.parametrize(
    ("values", "years"),
    [
        ({"PatientAge": "010M"}, 10 / 12),
        ({"PatientAge": "004W"}, 28 / 365.25),
        ({"PatientAge": "62"}, 62),
        ({"PatientAge": "old", "PatientBirthDate": "19840102"}, 40),
        ({"PatientBirthDate": "19840102"}, 40),
        ({"PatientBirthDate": "20250102"}, None),
        ({"PatientBirthDate": "1984"}, None),
        ({}, None),
        ({"PatientAge": "054y"}, 54),
        ({"PatientAge": "000D"}, 0),
        # What cannot be true is not believed, and the next value is asked.
        ({"PatientAge": "000Y"}, None),
        ({"PatientAge": "999Y"}, None),
        ({"PatientAge": "000Y", "PatientBirthDate": "19840102"}, 40),
        ({"PatientAge": "999Y", "PatientBirthDate": "19840102"}, 40),
        ({"PatientAge": "000Y", "PatientBirthDate": "20240102"}, 0),
        ({"PatientBirthDate": "19000101"}, None),
        ({"PatientBirthDate": "1984.01.02"}, 40),
        ({"PatientBirthDate": "1984-01-02"}, 40),
        ({"PatientBirthDate": "1984.0102"}, None),
        ({"PatientBirthDate": "19840230"}, None),
        ({"PatientBirthDate": "19840102", "StudyDate": "", "AcquisitionDate": "2024.01.02"}, 40),
        ({"PatientBirthDate": "19840102", "StudyDate": "19000101", "SeriesDate": "20240102"}, 40),
        ({"PatientBirthDate": "19840102", "StudyDate": None, "AcquisitionDateTime": "20240102101112.5"}, 40),
        ({"PatientBirthDate": "19840102", "StudyDate": "", "InstanceCreationDate": "20240102"}, 40),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_age(tmp_path: Path, values: dict[str, str | None], years: float | None) -> None:
    age = read(tmp_path, **values).age_years
    assert age == (None if years is None else pytest.approx(years, abs=0.01))


@pytest.mark.parametrize(
    ("values", "human"),
    [
        ({"PatientSpeciesDescription": "ヒト"}, True),
        ({"PatientSpeciesDescription": "Canis lupus"}, False),
        ({"PatientSpeciesDescription": "Homo sapiens"}, True),
        ({"PatientSpeciesCodeSequence": Sequence([code("448771007")])}, False),
        ({"PatientSpeciesCodeSequence": Sequence([code("337915000")])}, True),
        ({"PatientSexNeutered": "ALTERED"}, False),
    ],
)
def test_species(tmp_path: Path, values: dict[str, object], human: bool) -> None:
    assert read(tmp_path, **values).is_human is human


@pytest.mark.parametrize(
    ("character_set", "text"),
    [
        ("ISO_IR 192", "Thorax für später"),
        ("ISO_IR 100", "Poumon à côté"),
        ("ISO_IR 144", "Грудная клетка"),
        ("GB18030", "胸部正位"),
        (["", "ISO 2022 IR 87"], "胸部"),
        (["", "ISO 2022 IR 149"], "흉부"),
    ],
)
def test_descriptions_are_decoded(tmp_path: Path, character_set: object, text: str) -> None:
    assert read(tmp_path, SpecificCharacterSet=character_set, StudyDescription=text).study_description == text


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"])
@pytest.mark.parametrize("uid", ["../../etc/passwd", "..", "1.2/3", "1.2.x", "1..2", ".1", "1" * 65, ""])
def test_what_is_no_uid_is_quarantined(tmp_path: Path, keyword: str, uid: str) -> None:
    ds = radiograph()
    data = encoded(ds)
    old = str(getattr(ds, keyword)).encode()
    element = struct.pack("<HH", ds[keyword].tag.group, ds[keyword].tag.element) + b"UI"
    start = data.index(element)
    length = len(old) + len(old) % 2
    new = uid.encode() + b"\0" * (len(uid) % 2)
    replaced = data[: start + 6] + struct.pack("<H", len(new)) + new + data[start + 8 + length :]
    with pytest.raises(Quarantined) as raised:
        read_header(part10(tmp_path, replaced))
    assert raised.value.reason == Reason.INVALID_UID
    if keyword != "StudyInstanceUID":
        assert raised.value.study_instance_uid == ds.StudyInstanceUID


def test_leading_zeros_in_uids_are_tolerated(tmp_path: Path) -> None:
    ds = radiograph()
    uid = str(ds.StudyInstanceUID)
    changed = uid[:-2] + ".0" if uid[-3] != "." else uid
    data = encoded(ds).replace(uid.encode(), (changed[: len(uid) - 4] + ".007").encode())
    assert read_header(part10(tmp_path, data)).study_instance_uid.endswith(".007")


def encoded(ds: Dataset) -> bytes:
    buffer = BytesIO()
    ds.save_as(buffer, implicit_vr=False, little_endian=True, enforce_file_format=False)
    content = buffer.getvalue()
    return content[content.index(b"\x08\x00\x05\x00CS") :]


def part10(tmp_path: Path, data: bytes, *, syntax: str = EXPLICIT, sop: str = "", instance: str = "") -> Path:
    """A file as our receiver writes it; by default with what the data set itself says as announcement."""

    def uid_of(element: bytes) -> str:
        at = data.find(element)
        length = int.from_bytes(data[at + 6 : at + 8], "little")
        return data[at + 8 : at + 8 + length].rstrip(b"\0").decode("latin-1") if at >= 0 else ""

    meta = encode_meta(
        sop_class_uid=sop or uid_of(b"\x08\x00\x16\x00UI"),
        sop_instance_uid=instance or uid_of(b"\x08\x00\x18\x00UI"),
        transfer_syntax_uid=syntax,
        source_ae_title="TEST",
    )
    path = tmp_path / "bytes.dcm"
    path.write_bytes(meta + data)
    return path


def test_an_object_other_than_announced_is_quarantined(tmp_path: Path) -> None:
    ds = radiograph()
    with pytest.raises(Quarantined) as raised:
        read_header(part10(tmp_path, encoded(ds), instance="1.2.3"))
    assert raised.value.reason == Reason.IDENTITY_MISMATCH
    assert raised.value.study_instance_uid == ds.StudyInstanceUID
    assert raised.value.sop_instance_uid == ds.SOPInstanceUID


@pytest.mark.parametrize("count", [1, 2, 7, 8, 100, 300_000])
def test_zeros_after_the_last_element_are_padding(tmp_path: Path, count: int) -> None:
    data = encoded(radiograph())
    assert read_header(part10(tmp_path, data + bytes(count))) == read_header(part10(tmp_path, data))
    with pytest.raises(Quarantined):
        read_header(part10(tmp_path, data + bytes(count) + b"\1"))


def test_zeros_after_the_last_pixel_are_padding(tmp_path: Path) -> None:
    ds = radiograph()
    ds.PixelData += bytes(5000)
    assert read_header(part10(tmp_path, encoded(ds))).rows == ds.Rows


@pytest.mark.parametrize("frames", ["1", "1.0", "+1", "1."])
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_one_frame_may_be_written_as_others_read_it(tmp_path: Path, frames: str) -> None:
    assert read_header(part10(tmp_path, encoded(radiograph(NumberOfFrames=frames)))).frames == 1


@pytest.mark.parametrize("cut", [1, 100, 3000])
def test_a_cut_off_object_is_truncated(tmp_path: Path, cut: int) -> None:
    ds = radiograph()
    with pytest.raises(Quarantined) as raised:
        read_header(part10(tmp_path, encoded(ds)[:-cut]))
    assert raised.value.reason == Reason.TRUNCATED
    assert raised.value.study_instance_uid == ds.StudyInstanceUID


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"PixelData": None}, Reason.NO_PIXEL_DATA),
        ({"Rows": 0}, Reason.ABSURD_GEOMETRY),
        ({"Columns": 65535}, Reason.ABSURD_GEOMETRY),
        ({"Rows": 20000, "Columns": 20000}, Reason.ABSURD_GEOMETRY),
        ({"Rows": None}, Reason.ABSURD_GEOMETRY),
        ({"PixelData": b"\0\0"}, Reason.TRUNCATED),
        ({"PixelData": bytes(48 * 64 * 2) + b"\1" * 1000}, Reason.MALFORMED),
        ({"BitsAllocated": 12}, Reason.MALFORMED),
        ({"NumberOfFrames": 1000}, Reason.TRUNCATED),
        ({"SamplesPerPixel": 60000}, Reason.MALFORMED),
    ],
)
def test_images_that_cannot_be(tmp_path: Path, values: dict[str, object], reason: Reason) -> None:
    assert refused(tmp_path, **values).reason == reason


def test_padding_after_the_pixels_is_tolerated(tmp_path: Path) -> None:
    assert read(tmp_path, PixelData=bytes(48 * 64 * 2 + 64)).rows == 48


@pytest.mark.parametrize(
    ("announced", "actual"), [(IMPLICIT, EXPLICIT), (EXPLICIT, IMPLICIT), (J2K, EXPLICIT), (EXPLICIT, J2K)]
)
def test_a_syntax_that_contradicts_the_data_is_found(tmp_path: Path, announced: str, actual: str) -> None:
    path, _ = write_in(tmp_path / "x.dcm", actual)
    content = path.read_bytes()
    at = content.index(b"\x02\x00\x10\x00UI")
    length = int.from_bytes(content[at + 6 : at + 8], "little")
    meta_length = int.from_bytes(content[140:144], "little")
    value = announced.encode() + b"\0" * (len(announced) % 2)
    changed = content[: at + 6] + struct.pack("<H", len(value)) + value + content[at + 8 + length :]
    changed = changed[:140] + struct.pack("<L", meta_length + len(value) - length) + changed[144:]
    path.write_bytes(changed)
    with pytest.raises(Quarantined) as raised:
        read_header(path)
    assert raised.value.reason == Reason.TRANSFER_SYNTAX


def test_big_endian_and_unknown_syntaxes_are_refused(tmp_path: Path) -> None:
    data = encoded(radiograph())
    for syntax in ("1.2.840.10008.1.2.2", "1.2.3"):
        with pytest.raises(Quarantined) as raised:
            read_header(part10(tmp_path, data, syntax=syntax))
        assert raised.value.reason == Reason.TRANSFER_SYNTAX


def test_unterminated_encapsulated_pixel_data_is_truncated(tmp_path: Path) -> None:
    path, _ = write_in(tmp_path / "x.dcm", J2K)
    content = path.read_bytes()
    assert content.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
    for shorter in (content[:-8], content[:-4], content[:-20]):
        path.write_bytes(shorter)
        with pytest.raises(Quarantined) as raised:
            read_header(path)
        assert raised.value.reason == Reason.TRUNCATED


def test_encapsulated_pixel_data_without_a_fragment_is_empty(tmp_path: Path) -> None:
    data = encoded(radiograph(PixelData=None))
    data += b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    with pytest.raises(Quarantined) as raised:
        read_header(part10(tmp_path, data, syntax=J2K))
    assert raised.value.reason == Reason.NO_PIXEL_DATA


def test_an_attribute_that_stands_there_twice_is_malformed(tmp_path: Path) -> None:
    data = encoded(radiograph())
    rows = data.index(b"\x28\x00\x10\x00US")
    with pytest.raises(Quarantined) as raised:
        read_header(part10(tmp_path, data[: rows + 10] + data[rows : rows + 10] + data[rows + 10 :]))
    assert raised.value.reason == Reason.MALFORMED


def deep(levels: int) -> bytes:
    opening = b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return opening * levels + closing * levels


def test_nesting_is_bounded_without_recursion(tmp_path: Path) -> None:
    data = encoded(radiograph())
    at = data.index(b"\x10\x00\x10\x00PN")
    assert read_header(part10(tmp_path, data[:at] + deep(MAXIMUM_DEPTH // 2) + data[at:])).rows == 48
    with pytest.raises(Quarantined, match="nested"):
        read_header(part10(tmp_path, data[:at] + deep(100_000) + data[at:]))


def many_elements() -> bytes:
    return b"\x09\x00\x01\x00LO\0\0" * 2_000_000


def many_items() -> bytes:
    return b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\0\0\0\0" * 2_000_000


def huge_length() -> bytes:
    return b"\x08\x00\x40\x11UN\0\0\xfe\xff\xff\xff"


@pytest.mark.parametrize("hostile", [many_elements, many_items, huge_length])
def test_time_is_bounded(tmp_path: Path, hostile: Callable[[], bytes]) -> None:
    data = encoded(radiograph())
    at = data.index(b"\x10\x00\x10\x00PN")
    path = part10(tmp_path, data[:at] + hostile() + data[at:])
    begun = time.process_time()
    with pytest.raises(Quarantined):
        read_header(path)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", Reason.MALFORMED),
        (b"GIF89a" * 50, Reason.MALFORMED),
        (bytes(128) + b"DICM", Reason.TRANSFER_SYNTAX),
        (bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL", Reason.TRUNCATED),
    ],
)
def test_files_that_are_no_dicom(tmp_path: Path, content: bytes, reason: Reason) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(content)
    with pytest.raises(Quarantined) as raised:
        read_header(path)
    assert raised.value.reason == reason


def test_a_wrong_group_length_is_malformed(tmp_path: Path) -> None:
    path = write(tmp_path / "x.dcm", radiograph())
    content = bytearray(path.read_bytes())
    content[140] += 2
    path.write_bytes(content)
    with pytest.raises(Quarantined) as raised:
        read_header(path)
    assert raised.value.reason == Reason.MALFORMED


SEEDS = [EXPLICIT, IMPLICIT, J2K, "1.2.840.10008.1.2.5"]


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("seeds")
    return [write_in(folder / f"{n}.dcm", syntax)[0].read_bytes() for n, syntax in enumerate(SEEDS)]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mutated_files_end_in_a_header_or_in_quarantine(
    tmp_path: Path, seeds: list[bytes], data: st.DataObject
) -> None:
    content = bytearray(data.draw(st.sampled_from(seeds)))
    header_end = min(1200, len(content))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(128, header_end - 1))
        content[at : at + 1] = data.draw(st.binary(min_size=0, max_size=9))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    path = tmp_path / "mutated.dcm"
    path.write_bytes(content)
    try:
        header = read_header(path)
    except Quarantined as error:
        assert error.reason in set(Reason)
        assert len(error.detail) < 300
    else:
        assert header.study_instance_uid.replace(".", "").isdigit()


def with_sequence(path: Path, tag: int, value: bytes, *, vr: bytes = b"SQ") -> Path:
    """Put an element of defined length into a radiograph, before its Rows."""
    content = write(path, radiograph()).read_bytes()
    at = content.index(struct.pack("<HH2s", 0x0028, 0x0002, b"US"))
    element = struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr, 0, len(value)) + value
    path.write_bytes(content[:at] + element + content[at:])
    return path


EMPTY_ITEM = struct.pack("<HHL", 0xFFFE, 0xE000, 0)
TWO_MILLION = 2_000_000 * EMPTY_ITEM


@pytest.mark.parametrize(
    "value",
    [
        TWO_MILLION,
        struct.pack("<HHL", 0xFFFE, 0xE000, len(TWO_MILLION) + 12)
        + struct.pack("<HH2sHL", 0x0008, 0x1110, b"SQ", 0, len(TWO_MILLION))
        + TWO_MILLION,
        struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
        + struct.pack("<HHL", 0x0008, 0x1110, len(TWO_MILLION))
        + TWO_MILLION
        + struct.pack("<HHL", 0xFFFE, 0xE00D, 0),
    ],
    ids=["items", "items in an item", "items in an item of undefined length, implicit VR"],
)
@pytest.mark.parametrize(("tag", "vr"), [(0x00189999, b"SQ"), (0x00189999, b"UN"), (0x0018A001, b"SQ")])
def test_two_million_items_in_a_defined_length_are_refused_quickly(
    tmp_path: Path, value: bytes, tag: int, vr: bytes
) -> None:
    path = with_sequence(tmp_path / "x.dcm", tag, value, vr=vr)
    start = time.process_time()
    with pytest.raises(Quarantined, match="more than 500000 elements"):
        read_header(path)
    assert time.process_time() - start < 5


def test_a_sequence_that_nobody_needs_may_hold_anything(tmp_path: Path) -> None:
    for value in (b"none", b"\xfe\xff\x00\xe0\x10\0\0\0none", b"\xff" * 40):
        assert read_header(with_sequence(tmp_path / "x.dcm", 0x00189999, value)).rows == 48


@pytest.mark.parametrize("value", [b"\0\1\2", b"\0\1\0\1"])
@pytest.mark.parametrize("tag", [0x0010, 0x0011, 0x0100])
def test_a_number_of_another_length_is_malformed(tmp_path: Path, tag: int, value: bytes) -> None:
    content = write(tmp_path / "x.dcm", radiograph()).read_bytes()
    at = content.index(struct.pack("<HH2s", 0x0028, tag, b"US"))
    spoiled = content[: at + 6] + struct.pack("<H", len(value)) + value + content[at + 10 :]
    (tmp_path / "x.dcm").write_bytes(spoiled)
    with pytest.raises(Quarantined) as raised:
        read_header(tmp_path / "x.dcm")
    assert raised.value.reason is Reason.MALFORMED


def test_an_object_of_an_unknown_class_without_an_image_is_none(tmp_path: Path) -> None:
    ds = radiograph(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.22", Rows=None, Columns=None, PixelData=None)
    assert read_header(write(tmp_path / "x.dcm", ds)).rows is None
