"""A study is answered whatever its headers are, and the good images in it are analysed."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread
from rich.console import Console

from models import phantom
from node.clock import utc_now
from node.db import report
from node.db.states import JobState
from node.delivery.profiles import OHIF
from node.dicom.kinds import ResultKind
from node.dicom.part10 import identity_digest
from node.reasons import Reason
from node.settings import AnalysisSettings
from tests.support.data.elements import element, with_elements
from tests.support.results.encoded import report_of
from tests.support.results.jobs import Stub, analysed
from workers.commands import offline
from workers.pipelines import run as pipelines
from workers.pipelines.chest.pipeline import ChestPipeline
from workers.pipelines.run import Asked
from workers.pipelines.study import Study, read_image

STUDY = "1.2.3"


def image(folder: Path, seed: int, *spoiled: bytes, study: str = STUDY) -> Path:
    """Write an image of a study, some of its elements replaced."""
    path = folder / f"{seed}.dcm"
    phantom.write(path, phantom.generate(seed, rows=288, columns=260), study_instance_uid=study, patient_id="P-1")
    return with_elements(path, *spoiled)


@pytest.mark.parametrize(
    ("spoiled", "segs"),
    [
        (element(0x00400275, b"SQ", b"none"), 2),
        (element(0x00080051, b"SQ", b"none"), 2),
        # Nothing can be filed like an image whose Patient ID is none.
        (element(0x00100020, b"US", b"123"), 1),
    ],
    ids=["Request Attributes", "Issuer of Accession Number", "Patient ID"],
)
def test_the_good_image_beside_a_bad_header_is_analysed(database, tmp_path: Path, spoiled: bytes, segs: int) -> None:
    paths = [image(tmp_path, 4), image(tmp_path, 5, spoiled)]
    analysed(database, tmp_path, Stub, paths, pacs=OHIF.name)
    with database.read() as tx:
        (line,) = report.study_lines(tx, limit=9)
        kinds = [one.kind for one in report.result_lines(tx, line.job_id)]
    assert line.job_state is JobState.DELIVERING
    assert kinds == [ResultKind.SEG] * segs + [ResultKind.SR]


class Failing(ChestPipeline):
    """A pipeline of a site that cannot stand any header."""

    def decline(self, header):
        raise RuntimeError("no header is good enough")


def asked(report_only: Reason | None) -> Asked:
    return Asked(created_at=utc_now(), profiles=[OHIF], report_only=report_only)


def test_the_last_answer_needs_no_header(tmp_path: Path) -> None:
    path = image(tmp_path, 4)
    study = Study(STUDY, (read_image(path, digest=identity_digest(path)[0]),))
    networks = Stub(AnalysisSettings(), "cpu")
    with pytest.raises(RuntimeError):
        pipelines.run(Failing(), networks, study, asked(None))
    answer = pipelines.run(Failing(), networks, study, asked(Reason.ANALYSIS_FAILED))
    ((_, result),) = answer.results
    sr = report_of((result,))
    assert (sr.StudyInstanceUID, sr.PatientID) == (STUDY, "")
    assert str(dcmread(path).SOPInstanceUID).encode() in result.content
    assert Reason.ANALYSIS_FAILED.encode() in result.content


def test_one_study_of_many_that_fails_hides_no_other_and_names_its_files(tmp_path: Path) -> None:
    paths = [image(tmp_path, seed, study=f"1.2.{seed}") for seed in (4, 5)]
    studies, unusable = offline.group(paths)
    assert (len(studies), unusable) == (2, [])
    out = tmp_path / "out"
    out.mkdir()
    (out / "1.2.4").write_text("a file where the folder of the first study should be")
    console = Console(record=True, width=500)

    def one(study: Study) -> Path:
        networks = Stub(AnalysisSettings(), "cpu")
        return offline.analyse(study, networks=networks, out=out, profile=OHIF, console=console)

    assert offline.analyse_all(studies, one, console) == 1
    assert f"failed {paths[0]}: FileExistsError" in console.export_text()
    assert (out / "1.2.5" / "sr.dcm").exists()
