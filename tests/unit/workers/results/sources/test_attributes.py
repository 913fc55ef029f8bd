"""Attributes that cannot be read are absent, whatever they raise, and every image that can be is analysed."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.uid import ImplicitVRLittleEndian

from node.delivery.profiles import OHIF
from node.reasons import Reason
from tests.support.data import sources
from tests.support.data.elements import element, item, values, with_elements
from tests.support.data.radiographs import radiograph, write
from tests.support.data.sources import read_sources
from tests.support.results import result_requests as made
from workers.results.encode import encode
from workers.results.request import DeclinedImage

REQUESTS, ISSUER = 0x00400275, 0x00080051
PATIENT_ID, NAME, BIRTH_DATE = 0x00100020, 0x00100010, 0x00100030

UNREADABLE = {
    "a word where a sequence should be": element(REQUESTS, b"SQ", b"none"),
    "a word in another sequence": element(ISSUER, b"SQ", b"none"),
    "an item that reaches beyond": element(REQUESTS, b"SQ", struct.pack("<HHL", 0xFFFE, 0xE000, 99) + b"none"),
    "an item of nonsense": element(REQUESTS, b"SQ", item(b"\xff" * 30)),
    "a sequence as a number": element(REQUESTS, b"US", b"\1\0"),
    "a sequence in a sequence of words": element(REQUESTS, b"SQ", item(element(0x00321064, b"SQ", b"none"))),
    "Patient ID as numbers": element(PATIENT_ID, b"US", b"123"),
    "Patient ID as a sequence": element(PATIENT_ID, b"SQ", b"none"),
    "a name as a float": element(NAME, b"FD", b"1234"),
    "a birth date as a tag": element(BIRTH_DATE, b"AT", b"123"),
    "a birth date of one byte": element(BIRTH_DATE, b"DA", b"\xff"),
    "rows as text": element(0x00280010, b"LO", b"ninety"),
    "rows of three bytes": element(0x00280010, b"US", b"\0\1\2"),
    "a spacing of words": element(0x00280030, b"DS", b"wide\\wider"),
    "an orientation of nothing": element(0x00200037, b"DS", b"\\\\\\\\\\"),
    "a character set of nonsense": element(0x00080005, b"CS", b"\xff\\\x1b\\\\"),
    "a number beyond all": element(0x00200013, b"IS", b"9" * 400),
    "a very long text": element(0x00081030, b"LO", b"x" * 60_000),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_an_attribute_that_cannot_be_read_is_absent_and_the_study_is_answered(tmp_path: Path, what: str) -> None:
    path = with_elements(sources.source(tmp_path), UNREADABLE[what])
    found = read_sources([path])
    # Nothing can be filed like an image whose Patient ID is none.
    assert [source.uid for source in found] == ([] if "Patient ID" in what else [sources.uid()])
    refused = DeclinedImage(sources.uid(), Reason.ANALYSIS_FAILED, "")
    assert encode(made.request((path,), (), refused), profile=OHIF)
    if found and "rows" not in what:
        assert encode(made.request((path,), (made.image(sources.uid()),)), profile=OHIF)


@pytest.mark.parametrize(
    "break_up",
    [
        lambda content: content[: content.index(b"\x28\x00\x10\x00US") + 5],
        lambda content: content.replace(b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00??"),
        lambda content: content.replace(b"\x28\x00\x02\x00US", b"\xfe\xff\x0d\xe0US"),
    ],
    ids=["cut off", "no such VR", "a stray delimiter"],
)
def test_what_stands_before_the_break_is_read(tmp_path: Path, break_up: Callable[[bytes], bytes]) -> None:
    path = sources.source(tmp_path)
    path.write_bytes(break_up(path.read_bytes()))
    (source,) = read_sources([path])
    assert source.identity.values[PATIENT_ID].strip() == b"PLANTED-ID"


def test_two_million_items_are_not_given_to_another_parser(tmp_path: Path) -> None:
    path = with_elements(sources.source(tmp_path), element(REQUESTS, b"SQ", 2_000_000 * item()))
    start = time.process_time()
    (source,) = read_sources([path])
    assert time.process_time() - start < 5
    assert source.request_attributes == ()
    assert source.identity.values[PATIENT_ID].strip() == b"PLANTED-ID"


def test_of_an_element_that_stands_there_twice_the_first_counts(tmp_path: Path) -> None:
    path = sources.source(tmp_path)
    content = path.read_bytes()
    at = content.index(struct.pack("<HH2s", 0x0010, 0x0030, b"DA"))
    path.write_bytes(content[:at] + element(PATIENT_ID, b"LO", b"ANOTHER") + content[at:])
    (source,) = read_sources([path])
    assert source.patient_id == "PLANTED-ID"


def test_identity_is_read_in_implicit_vr_too(tmp_path: Path) -> None:
    ds = radiograph(PatientName="Müller^Jörg")
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    (source,) = read_sources([write(tmp_path / "x.dcm", ds)])
    assert source.identity.values[NAME].decode() == "Müller^Jörg "


def test_ids_that_differ_in_blanks_alone_are_of_one_patient_and_come_back_as_sent(tmp_path: Path) -> None:
    """PS3.5 section 6.2: leading and trailing blanks of LO are not significant."""
    ids = (b"1234", b" 1234 ")
    paths = [
        with_elements(sources.source(tmp_path, number=number), element(PATIENT_ID, b"LO", id_))
        for number, id_ in enumerate(ids, start=1)
    ]
    found = read_sources(paths)
    assert {source.patient_id for source in found} == {"1234"}
    assert [source.identity.values[PATIENT_ID] for source in found] == list(ids)
    images = tuple(made.image(source.uid) for source in found)
    *segs, _ = encode(made.request(tuple(paths), images), profile=OHIF)
    assert {values(seg.content)[PATIENT_ID] for seg in segs} == {b"1234"}
