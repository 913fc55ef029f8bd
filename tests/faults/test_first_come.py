"""What came first is not final: a corrected patient, a late image of another one, and who may speak for a study."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from typer.testing import CliRunner

from node.db.audit import Action
from tests.support.peers.pacs import SEG, SR, FakePACS
from tests.support.peers.system import RunningNode, phantom_file, running_node, study_uid
from tests.support.waiting import wait_for
from workers.cli import app


@pytest.fixture(scope="module")
def pacs() -> Iterator[FakePACS]:
    with FakePACS() as running:
        yield running


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: FakePACS) -> Iterator[RunningNode]:
    destination = {"ae_title": "PACS", "host": "127.0.0.1", "port": pacs.port}
    with running_node(tmp_path_factory.mktemp("node"), destinations={"pacs": destination}) as running:
        yield running


def hilum(node: RunningNode, *arguments: str) -> str:
    outcome = CliRunner().invoke(app, ["--config", str(node.config), *arguments], env={"COLUMNS": "300"})
    assert outcome.exit_code in (0, 1), outcome.output
    return outcome.output


def copy_of(path: Path, name: str, **changes: str) -> Path:
    ds = dcmread(path)
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    if "SOPInstanceUID" in changes:
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    target = path.with_name(name)
    ds.save_as(target, enforce_file_format=True)
    return target


def received(pacs: FakePACS, uid: str, kind: str = SR) -> list[Dataset]:
    """Return what the archive has of a study, in the order in which it came."""
    of_study = [one for one in pacs.received if one.study_instance_uid == uid and one.sop_class_uid == kind]
    return [dcmread(BytesIO(one.dataset), force=True) for one in of_study]


def test_a_corrected_patient_is_an_alert_until_the_newest_copies_count(
    node: RunningNode, pacs: FakePACS, tmp_path: Path
):
    image = phantom_file(tmp_path, 71)
    uid, retired = study_uid(image), str(dcmread(image).PatientID)
    node.send([image])
    node.wait_until_ended(uid)
    node.send([copy_of(image, "merged.dcm", PatientID="MERGED")])
    wait_for(lambda: json.loads(hilum(node, "status", "--json"))["conflicts"] == 1)
    assert "rerun UID --latest" in " ".join(hilum(node, "status").split())
    assert uid in hilum(node, "studies", "--failed")

    hilum(node, "rerun", uid, "--latest")
    node.wait_until_ended(uid, revision=2)
    first, second = received(pacs, uid)
    assert (first.PatientID, second.PatientID) == (retired, "MERGED")
    predecessor = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert predecessor.ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert json.loads(hilum(node, "status", "--json"))["conflicts"] == 0
    assert len(node.events(Action.INSTANCE_PREFERRED)) == 1


def test_a_late_image_of_another_patient_supersedes_nothing(node: RunningNode, pacs: FakePACS, tmp_path: Path):
    image = phantom_file(tmp_path, 72)
    uid = study_uid(image)
    node.send([image])
    first = node.wait_until_ended(uid)
    before = {kind: len(received(pacs, uid, kind)) for kind in (SEG, SR)}
    node.send([copy_of(image, "other.dcm", PatientID="OTHER", SOPInstanceUID=f"{uid}.9")])
    late = node.wait_until_ended(uid, revision=2)
    assert late.job_id != first.job_id
    assert {kind: len(received(pacs, uid, kind)) for kind in (SEG, SR)} == before
    assert json.loads(hilum(node, "status", "--json"))["different_patients"] == 1
    assert "different patients" in hilum(node, "status")
    assert uid in hilum(node, "studies", "--failed")


def test_who_sends_first_under_a_studys_uid_does_not_decide_whose_report_it_becomes(
    node: RunningNode, pacs: FakePACS, tmp_path: Path
):
    image = phantom_file(tmp_path, 73)
    uid, patient = study_uid(image), str(dcmread(image).PatientID)
    foreign = copy_of(image, "foreign.dcm", PatientID="FOREIGN", ProtocolName="another one")
    node.send([foreign], calling_ae_title="EVIL")
    node.wait_until_ended(uid)
    node.send([image], calling_ae_title="PACS")  # the very SOP Instance UID that the other has used
    wait_for(lambda: len(received(pacs, uid)) == 2, timeout_s=90)
    first, second = received(pacs, uid)
    assert (first.PatientID, second.PatientID) == ("FOREIGN", patient)
    assert len(received(pacs, uid, SEG)) > 0
    assert "PredecessorDocumentsSequence" not in second
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID

    late = copy_of(image, "late.dcm", PatientID="FOREIGN", SOPInstanceUID=f"{uid}.8")
    node.send([late], calling_ae_title="EVIL")
    wait_for(lambda: len(received(pacs, uid)) == 3, timeout_s=90)
    third = received(pacs, uid)[-1]
    assert third.PatientID == "FOREIGN"
    predecessor = third.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert predecessor.ReferencedSOPInstanceUID == first.SOPInstanceUID


def test_a_second_sender_of_the_same_patient_joins_the_study(node: RunningNode, tmp_path: Path):
    image = phantom_file(tmp_path, 74)
    uid = study_uid(image)
    node.send([image], calling_ae_title="MODALITY")
    node.wait_until_ended(uid)
    node.send([copy_of(image, "more.dcm", SOPInstanceUID=f"{uid}.7")], calling_ae_title="PACS")
    assert node.wait_until_ended(uid, revision=2).images == 2
