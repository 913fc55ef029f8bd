"""The identity of an image comes back in every result as the bytes that it was sent with."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from models.values import codes
from models.values.findings import HeatMap
from node.delivery.profiles import BUILT_IN, OHIF, Profile
from node.dicom.deflated import data_set
from node.dicom.kinds import ResultKind
from node.reasons import Reason
from tests.support.data import sources
from tests.support.data.elements import element, item, values, with_elements
from tests.support.results import result_requests as made
from workers.results.encode import encode
from workers.results.preflight import PreflightFailed, preflight
from workers.results.request import DeclinedImage, EncodedResult, ResultRequest
from workers.results.sources.identity import ATTRIBUTES

CHARACTER_SET, NAME, ID, REFERRER, ACCESSION = 0x00080005, 0x00100010, 0x00100020, 0x00080090, 0x00080050
BIRTH_DATE, STUDY_DATE, DESCRIPTION = 0x00100030, 0x00080020, 0x00081030
COMPLETE, IN_GERMAN = BUILT_IN["complete"], Profile(name="german", language="de", text_report=True)
IN_FRENCH = Profile(name="french", language="fr", text_report=True)

NAMES = {
    "code extension of GB 2312": (
        b"\\ISO 2022 IR 58",
        b"Wang^XiaoDong=\x1b$)A" + "王".encode("gb2312") + b"^\x1b$)A" + "小东".encode("gb2312"),
    ),
    "code extension of JIS X 0208": (
        b"\\ISO 2022 IR 87",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
    ),
    "JIS X 0201 and 0208": (
        b"ISO 2022 IR 13\\ISO 2022 IR 87",
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
    ),
    "code extension of KS X 1001": (
        b"\\ISO 2022 IR 149",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
    ),
    "GB 18030": (b"GB18030", "Wang^XiaoDong=王^小东".encode("gb18030")),
    # The second byte of 許 is a backslash.
    "a backslash within a letter": (b"GBK", "Xu^Z=許^誠".encode("big5")),
    "UTF-8": (b"ISO_IR 192", "Παπαδοπούλου^Ελένη".encode()),
    "Cyrillic": (b"ISO_IR 144", "Люксембург^Роза".encode("iso8859_5")),
    "Latin 1": (b"ISO_IR 100", "Müller^Jörg".encode("latin-1")),
    "Latin 2": (b"ISO_IR 101", "Wałęsa^Łukasz".encode("iso8859_2")),
    "a set that nobody knows": (b"ISO-IR 7777", b"\xe4\xf6\xfc^\xff"),
    "a misspelt set": (b"iso_ir 100", b"M\xfcller^J\xf6rg"),
    "none, though letters need one": (b"", b"M\xfcller^J\xf6rg"),
    "backslashes": (b"ISO_IR 100", b"O\\T\\Brien^Ann"),
    "blanks within": (b"", b"van  der^ Berg"),
}


def with_identity(path: Path, character_set: bytes, name: bytes, *others: bytes) -> Path:
    """Write one name into all that is text, under a character set."""
    return with_elements(
        path,
        element(CHARACTER_SET, b"CS", character_set),
        element(NAME, b"PN", name),
        element(REFERRER, b"PN", name),
        element(ID, b"LO", name[:64]),
        element(DESCRIPTION, b"LO", b"Thorax pa"),
        *others,
    )


def identity(content: bytes) -> dict[int, bytes]:
    """Return the identity that a file has."""
    found = values(content)
    return {tag: found[tag] for tag in (CHARACTER_SET, *ATTRIBUTES) if found.get(tag)}


def every_kind(path: Path) -> ResultRequest:
    """Ask for all kinds of result of one image."""
    image = made.with_pneumothorax(made.image(sources.uid()), codes.LEFT)
    grid = np.linspace(0, 1, image.segments[0].mask.size, dtype=np.float32).reshape(image.segments[0].mask.shape)
    finding = image.findings[0]
    image = replace(image, heat_maps=(HeatMap(finding.label, finding.bundle, grid),))
    return replace(made.diseases((path,), image), urgent=True)


def check(path: Path, results: tuple[EncodedResult, ...]) -> None:
    sent = identity(path.read_bytes())
    for result in results:
        assert identity(result.content) == sent, result.kind


@pytest.mark.parametrize("case", NAMES)
def test_every_kind_of_result_has_the_bytes_of_its_source(tmp_path: Path, case: str) -> None:
    path = with_identity(sources.source(tmp_path), *NAMES[case])
    results = encode(every_kind(path), profile=COMPLETE)
    assert {result.kind for result in results} == set(ResultKind)
    if not NAMES[case][0] and NAMES[case][1].isascii():
        # The identity reads the same in all sets: one is chosen for the texts of the result.
        assert {values(result.content)[CHARACTER_SET] for result in results} == {b"ISO_IR 100"}
        results = tuple(replace(r, content=_without_character_set(r.content)) for r in results)
    check(path, results)


def _without_character_set(content: bytes) -> bytes:
    return content.replace(element(CHARACTER_SET, b"CS", b"ISO_IR 100"), b"", 1)


@pytest.mark.parametrize("profile", [IN_GERMAN, IN_FRENCH], ids=lambda profile: profile.name)
@pytest.mark.parametrize("case", NAMES)
def test_reports_in_other_languages_keep_the_character_set_of_the_source(
    tmp_path: Path, case: str, profile: Profile
) -> None:
    path = with_identity(sources.source(tmp_path), *NAMES[case])
    results = encode(made.request((path,), (made.image(sources.uid()),)), profile=profile)
    for result in results:
        found, sent = identity(result.content), identity(path.read_bytes())
        if NAMES[case][1].isascii() and b"\x1b" not in NAMES[case][1]:
            found.pop(CHARACTER_SET), sent.pop(CHARACTER_SET, None)
        assert found == sent


@pytest.mark.parametrize("compression", ["none", "deflated"])
def test_an_answer_without_analysis_has_them_too(tmp_path: Path, compression: str) -> None:
    path = with_identity(sources.source(tmp_path), *NAMES["code extension of GB 2312"])
    refused = DeclinedImage(sources.uid(), Reason.ANALYSIS_FAILED, "")
    (answer,) = encode(made.request((path,), (), refused), profile=Profile(name="p", compression=compression))
    name = NAMES["code extension of GB 2312"][1]
    if compression == "none":
        check(path, (answer,))
    assert name in (_inflated(answer) if compression == "deflated" else answer.content)


def _inflated(result: EncodedResult) -> bytes:
    """Inflate a result."""
    with data_set(BytesIO(result.content)) as (data, _):
        return bytes(data)


def test_dates_as_before_dicom_come_back(tmp_path: Path) -> None:
    dates = (element(BIRTH_DATE, b"DA", b"1970.01.02"), element(STUDY_DATE, b"DA", b"2026.01.10"))
    path = with_elements(sources.source(tmp_path), *dates)
    check(path, encode(made.request((path,), (made.image(sources.uid()),)), profile=OHIF))


def test_orders_come_back(tmp_path: Path) -> None:
    character_set, name = NAMES["code extension of GB 2312"]
    order = item(
        element(ACCESSION, b"SH", b"A-7"),
        element(0x00400007, b"LO", b"not asked for"),
        element(0x00400009, b"SH", name[-8:]),
        element(0x00401001, b"SH", name[-9:]),
    )
    issuer = item(element(0x00400031, b"UT", name))
    path = with_identity(
        sources.source(tmp_path),
        character_set,
        name,
        element(0x00080051, b"SQ", issuer),
        element(0x00400275, b"SQ", order),
    )
    for result in encode(made.request((path,), (made.image(sources.uid()),)), profile=OHIF):
        found = values(result.content)
        assert issuer.rstrip() == found[0x00080051]
        named = found.get(0x00400275) or found[0x0040A370]
        assert element(0x00401001, b"SH", name[-9:]).rstrip() in named
        assert element(ACCESSION, b"SH", b"A-7") in named


def test_each_result_has_the_character_set_of_its_own_image(tmp_path: Path) -> None:
    """The report is filed like the first image, each SEG like the image that it lies on."""
    paths = [sources.source(tmp_path, number=number) for number in (1, 2)]
    for path, case in zip(paths, ("Latin 1", "UTF-8"), strict=True):
        with_elements(path, element(CHARACTER_SET, b"CS", NAMES[case][0]), element(NAME, b"PN", NAMES[case][1]))
    images = tuple(made.image(sources.uid(number)) for number in (1, 2))
    results = encode(made.request(tuple(paths), images), profile=OHIF)
    *segs, report = results
    check(paths[0], (report,))
    for seg in segs:
        of = _image_of(seg)
        check(paths[0] if of == sources.uid(1) else paths[1], (seg,))


def _image_of(seg: EncodedResult) -> str:
    return str(dcmread(BytesIO(seg.content)).SourceImageSequence[0].ReferencedSOPInstanceUID)


TEXT = st.binary(min_size=1, max_size=64).filter(lambda value: value.strip(b" \0"))


@given(
    character_set=st.sampled_from([b"", b"ISO_IR 100", b"ISO_IR 192", b"\\ISO 2022 IR 58", b"?"]), name=TEXT, id_=TEXT
)
@settings(max_examples=40, deadline=None)
def test_whatever_the_bytes_are_they_come_back(character_set: bytes, name: bytes, id_: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = with_elements(
            sources.source(Path(folder)),
            element(CHARACTER_SET, b"CS", character_set),
            element(NAME, b"PN", name),
            element(ID, b"LO", id_),
            element(ACCESSION, b"SH", id_[:16]),
        )
        request = made.request((path,), (), DeclinedImage(sources.uid(), Reason.ANALYSIS_FAILED, ""))
        (answer,) = encode(request, profile=OHIF)
        found, sent = identity(answer.content), identity(path.read_bytes())
        if all(value.isascii() and b"\x1b" not in value for value in (name, id_)):
            found.pop(CHARACTER_SET, None), sent.pop(CHARACTER_SET, None)
        assert found == sent


@pytest.mark.parametrize("tag", [NAME, CHARACTER_SET])
def test_a_result_with_other_bytes_is_withheld(tmp_path: Path, tag: int) -> None:
    path = with_identity(sources.source(tmp_path), *NAMES["Latin 2"])
    request = made.request((path,), (made.image(sources.uid()),))
    results = encode(request, profile=OHIF)
    sent = values(path.read_bytes())[tag]
    changed = tuple(replace(r, content=r.content.replace(sent, sent[:-1] + b"9", 1)) for r in results)
    assert changed != results
    with pytest.raises(PreflightFailed, match="differs from the source"):
        preflight(changed, request, OHIF)
