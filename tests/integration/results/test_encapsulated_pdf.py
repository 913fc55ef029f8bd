"""The page in its object: as DCMTK takes it out, and what stands on it."""

from __future__ import annotations

import re
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from node.dicom.kinds import ResultKind
from node.reasons import Reason
from tests.support.data import sources
from tests.support.peers.readers import program, run
from tests.support.results import result_requests as made
from tests.support.results.encoded import read
from tests.support.results.interoperability import record
from tests.support.results.optional_results import CASES, COMPLETE, one, request_of, results, stored
from workers.results.request import DeclinedImage, EncodedResult, Predecessor


def _page(result: EncodedResult, folder: Path) -> bytes:
    """Return the PDF that DCMTK takes out of an object, without the byte that makes its length even."""
    done = run(program("dcm2pdf"), stored(result, folder), folder / "page.pdf")
    assert done.returncode == 0, done.stderr
    return (folder / "page.pdf").read_bytes()[: read(result).EncapsulatedDocumentLength]


def _text(page: bytes) -> str:
    """Return the characters that a PDF of matplotlib's shows, as they follow each other."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", page, re.DOTALL)
    shown = next(content for content in map(zlib.decompress, streams) if b"BT\n" in content)
    parts = re.findall(rb"\(((?:\\.|[^\\)])*)\)", shown, re.DOTALL)
    return b"".join(parts).replace(b"\0", b"").replace(b"\\", b"").decode("latin-1")


def test_the_page_is_one_a4_with_its_fonts_and_without_a_date(tmp_path: Path) -> None:
    (result,) = results(CASES["DX"](tmp_path), ResultKind.DOC)
    page = _page(result, tmp_path)
    assert page.startswith(b"%PDF-") and page.rstrip().endswith(b"%%EOF")
    assert len(re.findall(rb"/Type /Page\b", page)) == 1
    assert b"/MediaBox [ 0 0 595.44 841.68 ]" in page
    # A Type 3 font consists of the drawings of its characters, so that none can be missing.
    assert set(re.findall(rb"/Subtype /(\w+)", page)) == {b"Type3", b"Image"}
    assert not any(word in page for word in (b"CreationDate", b"ModDate"))


@pytest.mark.interoperability
def test_the_page_says_what_was_found_and_what_it_is_not(tmp_path: Path) -> None:
    (result,) = results(CASES["DX"](tmp_path), ResultKind.DOC)
    text = _text(_page(result, tmp_path))
    assert "Research use only - not for clinical use" in text
    assert "Pneumothorax: present on the left" in text
    assert "Cardiothoracic ratio: 0.47" in text
    assert "pneumothorax-segmentation 1.0.0" in text
    assert result.sop_instance_uid in text
    record(source="DX", object="DOC", profile="complete", reader="DCMTK dcm2pdf")


@pytest.mark.parametrize(("language", "foot"), [("de", "; Objekt 2.25."), ("fr", " ; objet 2.25.")])
def test_the_foot_of_the_page_is_in_the_language_of_the_profile(tmp_path: Path, language: str, foot: str) -> None:
    profile = COMPLETE.model_copy(update={"language": language})
    (result,) = results(CASES["DX"](tmp_path), ResultKind.DOC, profile=profile)
    assert foot in _text(_page(result, tmp_path))


def test_the_page_shows_no_attribute_of_the_patient(tmp_path: Path) -> None:
    names = {"PatientName": "Other^Person", "PatientID": "OTHER", "AccessionNumber": "OTHER", "PatientSex": "M"}
    first = one(request_of()(tmp_path), ResultKind.DOC)
    second = one(request_of(**names, StudyDate="20200101", PatientBirthDate="19510101")(tmp_path), ResultKind.DOC)
    assert first.PatientName != second.PatientName
    assert first.EncapsulatedDocument == second.EncapsulatedDocument


@pytest.mark.parametrize(("said", "expected"), [("YES", "YES"), ("NO", "NO"), (None, "YES")])
def test_a_page_denies_burnt_in_identity_only_where_the_source_does(
    tmp_path: Path, said: str | None, expected: str
) -> None:
    values = {} if said is None else {"BurnedInAnnotation": said}
    assert one(request_of(**values)(tmp_path), ResultKind.DOC).BurnedInAnnotation == expected


def test_a_declined_study_has_a_page_that_says_why(tmp_path: Path) -> None:
    dciodvfy = program("dciodvfy")
    declined = DeclinedImage(sources.uid(), Reason.LATERAL_VIEW, "View Position is LL.")
    (result,) = results(made.request((sources.source(tmp_path),), (), declined), ResultKind.DOC)
    assert "Error" not in run(dciodvfy, "-new", stored(result, tmp_path)).stderr
    assert "View is not frontal" in _text(_page(result, tmp_path))


def test_a_page_names_the_one_that_it_supersedes(tmp_path: Path) -> None:
    request = CASES["DX"](tmp_path)
    (first,) = results(request, ResultKind.DOC)
    earlier = (Predecessor(first.sop_class_uid, first.sop_instance_uid, first.series_instance_uid),)
    ds = one(replace(request, revision=2), ResultKind.DOC, predecessors=earlier)
    (series,) = ds.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.sop_instance_uid
    assert ds.SourceInstanceSequence[0].ReferencedSOPInstanceUID == sources.uid()


def test_the_page_is_in_the_language_of_the_profile(tmp_path: Path) -> None:
    german = COMPLETE.model_copy(update={"language": "de"})
    (result,) = results(CASES["DX"](tmp_path), ResultKind.DOC, profile=german)
    assert "Herz" in _text(_page(result, tmp_path))
