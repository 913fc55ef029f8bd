"""One archive, node and viewer for all end-to-end tests of results, and the studies that went through them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from models import phantom
from models.phantom import Phantom
from tests.support.peers import servers
from tests.support.peers.system import RunningNode, running_node, study_uid
from tests.support.viewer import browser, ohif, package, site
from tests.support.viewer.cases import (
    CASES,
    OF_A_SITE,
    OTHER_PROFILES,
    PROFILE,
    ROUTER,
    ROUTER_OF_OTHERS,
    SOURCES,
    Answered,
)
from tests.support.viewer.ohif import Viewer


@pytest.fixture(scope="package")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Orthanc]:
    """An Orthanc with DICOMweb; 1.10.1 takes Label Map Segmentations only where it is told to take what is unknown."""
    configuration = {**servers.dicomweb(), "UnknownSopClassAccepted": True}
    with servers.orthanc(tmp_path_factory.mktemp("orthanc"), configuration=configuration) as running:
        yield running


@pytest.fixture(scope="package")
def node(tmp_path_factory: pytest.TempPathFactory, archive: servers.Orthanc) -> Iterator[RunningNode]:
    """A node that sends its results to the archive: by one profile, or by all others where the router asks for it."""
    to_archive = {"ae_title": archive.ae_title, "host": "127.0.0.1", "port": archive.port}
    with running_node(
        tmp_path_factory.mktemp("node"),
        destinations={name: {**to_archive, "profile": name} for name in (PROFILE, *OTHER_PROFILES)},
        profiles=list(OF_A_SITE),
        rules=[
            {"name": "others", "calling_ae_title": [ROUTER_OF_OTHERS], "destinations": list(OTHER_PROFILES)},
            {"name": "chest", "destinations": [PROFILE]},
        ],
    ) as running:
        yield running


@pytest.fixture(scope="package")
def viewer(tmp_path_factory: pytest.TempPathFactory, archive: servers.Orthanc) -> Iterator[Viewer]:
    """The viewer over the archive; skips where viewer or browser cannot be had."""
    files, root = package.dist(), f"http://127.0.0.1:{archive.http_port}"
    with site.serving(files, archive=root) as serving, browser.page(tmp_path_factory.mktemp("browser")) as page:
        yield ohif.viewer(page, serving)


@pytest.fixture(scope="package")
def answer(
    node: RunningNode, archive: servers.Orthanc, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Answered]:
    """Return what sends a case to archive and node, once, and fetches the results from the archive."""

    @cache
    def once(name: str) -> Answered:
        case, folder = CASES[name], tmp_path_factory.mktemp("answered")
        made = phantom.generate(case.seed, rows=case.rows, columns=case.columns)
        path = folder / "source.dcm"
        ds = phantom.write(path, made, patient_id=f"PHANTOM-{case.seed}", **case.options)
        send(node, archive, [path])
        return Answered(name, study_uid(path), {str(ds.SOPInstanceUID): made}, fetch(archive, study_uid(path), folder))

    return once


@pytest.fixture(params=CASES, ids=list(CASES))
def answered(request: pytest.FixtureRequest, answer: Callable[[str], Answered]) -> Answered:
    """One study of each kind."""
    return answer(request.param)


@pytest.fixture(scope="package")
def grown(node: RunningNode, archive: servers.Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Answered:
    """A study whose second image came late, so that the first is answered twice."""
    folder, study, images = tmp_path_factory.mktemp("grown"), generate_uid(), {}
    for number in (1, 2):
        path, made = write_small(folder, number, study=study, series=generate_uid())
        send(node, archive, [path], revision=number)
        images |= made
    return Answered("DX 640×528, two images, revision 2", str(study), images, fetch(archive, str(study), folder))


@pytest.fixture(scope="package")
def paired(node: RunningNode, archive: servers.Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Answered:
    """A study with two images in one series."""
    folder, study, series = tmp_path_factory.mktemp("paired"), generate_uid(), generate_uid()
    written = [write_small(folder, number, study=study, series=series) for number in (1, 2)]
    send(node, archive, [path for path, _ in written])
    images = {uid: made for _, images in written for uid, made in images.items()}
    return Answered("DX 640×528, two images in one series", str(study), images, fetch(archive, str(study), folder))


def write_small(folder: Path, number: int, *, study: str, series: str) -> tuple[Path, dict[str, Phantom]]:
    """Write a small image of a study of several."""
    made = phantom.generate(20 + number, rows=640, columns=528)
    ds = phantom.dataset(made, study_instance_uid=study, series_instance_uid=series, patient_id="PHANTOM-20")
    ds.InstanceNumber = number
    path = folder / f"{number}.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path, {str(ds.SOPInstanceUID): made}


@pytest.fixture(scope="package")
def of_other_profiles(
    node: RunningNode, archive: servers.Orthanc, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Path]:
    """The results of one image by profile and kind, as the node stored them; the archive has them all."""
    folder = tmp_path_factory.mktemp("others")
    path = folder / "source.dcm"
    phantom.write(path, phantom.generate(7, rows=1200, columns=1004), patient_id="PHANTOM-7B")
    send(node, archive, [path], calling_ae_title=ROUTER_OF_OTHERS)
    line = node.study(study_uid(path))
    assert line is not None
    return {(result.profile, result.kind): Path(result.path) for result in node.results(line)}


def send(
    node: RunningNode,
    archive: servers.Orthanc,
    paths: Sequence[Path],
    *,
    revision: int = 1,
    calling_ae_title: str = ROUTER,
) -> None:
    """Send images of a study to the archive and to the node, and wait until the study is answered."""
    servers.storescu(archive.port, paths, called_ae_title=archive.ae_title)
    assert node.send(paths, calling_ae_title=calling_ae_title) == [0x0000] * len(paths)
    assert node.wait_until_ended(study_uid(paths[0]), revision=revision).job_state == "done"


def fetch(archive: servers.Orthanc, uid: str, folder: Path) -> list[Path]:
    """Fetch what the archive holds of a study, but for the images."""
    files = archive.files(uid, folder)
    return [path for path in files if dcmread(path, stop_before_pixels=True).Modality not in SOURCES]
