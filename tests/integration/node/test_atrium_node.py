"""MR series sent to a running node by storescu: a multi-frame SEG and a report come back to Orthanc."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.request import urlopen

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from node.db import report
from node.db.states import JobState
from tests.support.data import mr, volumes
from tests.support.peers import servers
from tests.support.peers.system import RunningNode, running_node
from tests.support.waiting import wait_for

SHAPE = (20, 40, 36)
ENDED = {JobState.DONE, JobState.UNDELIVERED, JobState.FAILED}


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Orthanc]:
    with servers.orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, orthanc: servers.Orthanc) -> Iterator[RunningNode]:
    """A node that analyses MR, with a bundle that finds what is bright."""
    bundles = tmp_path_factory.mktemp("bundles")
    volumes.bright_bundle(bundles / "atrium", field_mm=(70.0, 70.0, 70.0))
    with running_node(
        tmp_path_factory.mktemp("node"),
        destinations={"orthanc": {"ae_title": orthanc.ae_title, "host": "127.0.0.1", "port": orthanc.port}},
        rules=[{"name": "heart", "modality": ["MR"], "pipeline": "atrium", "bundles": ["atrium-3d"]}],
        analysis={"bundles": str(bundles)},
    ) as running:
        yield running


def held(orthanc: servers.Orthanc, study: str) -> list[Dataset]:
    """Fetch what Orthanc has of a study."""
    found = []
    for identifier in orthanc.instances():
        with urlopen(f"http://127.0.0.1:{orthanc.http_port}/instances/{identifier}/file", timeout=10) as answer:
            path = orthanc_file(answer.read())
        if path.StudyInstanceUID == study:
            found.append(path)
    return found


def orthanc_file(content: bytes) -> Dataset:
    from io import BytesIO

    return dcmread(BytesIO(content))


def test_slices_in_two_associations_come_back_as_one_seg_and_one_report(node, orthanc, tmp_path):
    body = volumes.body(SHAPE, (10, 20, 18), 7)
    paths = mr.series(tmp_path, (body * 900 + 100).astype(np.uint16))
    study = str(dcmread(paths[0]).StudyInstanceUID)
    servers.storescu(node.settings.receiver.port, paths[:7], calling_ae_title="SCANNER")
    servers.storescu(node.settings.receiver.port, paths[7:], calling_ae_title="SCANNER")

    def line() -> report.StudyLine | None:
        with node.database.read() as tx:
            lines = report.study_lines(tx, limit=1, study_instance_uid=study)
        return lines[0] if lines and lines[0].job_state in ENDED else None

    ended = wait_for(line, timeout_s=180, what="the study to be answered")
    assert (ended.job_state, ended.revision) == (JobState.DONE, 1)
    with node.database.read() as tx:
        assert report.job(tx, ended.job_id).pipeline == "atrium"
    results = {ds.Modality: ds for ds in held(orthanc, study)}
    assert set(results) == {"SEG", "SR"}
    seg = results["SEG"]
    assert abs(int(seg.NumberOfFrames) - int(body.any(axis=(1, 2)).sum())) <= 3  # the network's own edge
    assert {str(i.ReferencedSOPInstanceUID) for i in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence} == {
        str(dcmread(path).SOPInstanceUID) for path in paths
    }
    assert seg.PatientID == results["SR"].PatientID == dcmread(paths[0]).PatientID


def test_a_radiograph_for_which_no_rule_asks_is_not_analysed(node, tmp_path):
    from models import phantom

    path = tmp_path / "chest.dcm"
    phantom.write(path, phantom.generate(3, rows=288, columns=260), study_instance_uid="1.2.840.99.1")
    servers.storescu(node.settings.receiver.port, [path], calling_ae_title="ROUTER")

    def complete() -> report.StudyLine | None:
        with node.database.read() as tx:
            lines = report.study_lines(tx, limit=1, study_instance_uid="1.2.840.99.1")
        return lines[0] if lines and lines[0].state == "complete" else None

    assert wait_for(complete, timeout_s=60, what="the study to be closed").job_id is None
