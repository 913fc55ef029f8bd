"""One archive and one node for all end-to-end tests of results, and the studies that went through them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from models import phantom
from models.phantom import Phantom, Photometric, SopClass
from tests import peers
from tests.system import RunningNode, running_node, study_uid

PROFILE = "ohif"
SOURCES = {"CR", "DX", "OT"}


@dataclass(frozen=True)
class Case:
    """One kind of source image."""

    seed: int
    rows: int
    columns: int
    options: dict[str, Any] = field(default_factory=dict)
    slow: bool = False
    """Tried with `--whole` only."""


_INVERTED = {"photometric": Photometric.MONOCHROME1}
CASES = {
    "DX 1200×1004": Case(7, 1200, 1004),
    "CR 800×1001, landscape, MONOCHROME1": Case(8, 800, 1001, {"sop_class": SopClass.CR, **_INVERTED}),
    "SC 512×450": Case(9, 512, 450, {"sop_class": SopClass.SC}),
    "DX 1201×1003": Case(6, 1201, 1003, slow=True),
    "CR 2022×2022": Case(5, 2022, 2022, {"sop_class": SopClass.CR}, slow=True),
    "DX 4000×3408": Case(4, 4000, 3408, slow=True),
    "SC 1200×1500, landscape, MONOCHROME1": Case(3, 1200, 1500, {"sop_class": SopClass.SC, **_INVERTED}, slow=True),
}


@dataclass(frozen=True)
class Answered:
    """A study that went the whole way: what was sent, and what the archive holds of the results."""

    name: str
    uid: str
    images: dict[str, Phantom]
    """By SOP Instance UID."""
    results: list[Path]

    def of(self, modality: str) -> list[Path]:
        """Return the results of a modality."""
        return [path for path in self.results if dcmread(path, stop_before_pixels=True).Modality == modality]

    @property
    def report(self) -> Path:
        """The one report."""
        (path,) = self.of("SR")
        return path


@pytest.fixture(scope="package")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[peers.Orthanc]:
    """An Orthanc with DICOMweb."""
    with peers.orthanc(tmp_path_factory.mktemp("orthanc"), configuration=peers.dicomweb()) as running:
        yield running


@pytest.fixture(scope="package")
def node(tmp_path_factory: pytest.TempPathFactory, archive: peers.Orthanc) -> Iterator[RunningNode]:
    """A node that sends its results to the archive."""
    destination = {"ae_title": archive.ae_title, "host": "127.0.0.1", "port": archive.port, "profile": PROFILE}
    with running_node(tmp_path_factory.mktemp("node"), destinations={"archive": destination}) as running:
        yield running


@pytest.fixture(scope="package")
def answer(
    node: RunningNode, archive: peers.Orthanc, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Answered]:
    """Return what sends a case to archive and node, once, and fetches the results from the archive."""

    @cache
    def once(name: str) -> Answered:
        case, folder = CASES[name], tmp_path_factory.mktemp("answered")
        made = phantom.generate(case.seed, rows=case.rows, columns=case.columns)
        path = folder / "source.dcm"
        ds = phantom.write(path, made, patient_id=f"PHANTOM-{case.seed}", **case.options)
        send(node, archive, path, revision=1)
        return Answered(name, study_uid(path), {str(ds.SOPInstanceUID): made}, fetch(archive, study_uid(path), folder))

    return once


@pytest.fixture(params=CASES, ids=list(CASES))
def answered(request: pytest.FixtureRequest, *, whole: bool, answer: Callable[[str], Answered]) -> Answered:
    """One study of each kind; the slow ones with `--whole`."""
    if CASES[request.param].slow and not whole:
        pytest.skip("slow: run with --whole")
    return answer(request.param)


@pytest.fixture(scope="package")
def grown(node: RunningNode, archive: peers.Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Answered:
    """A study whose second image came late, so that the first is answered twice."""
    folder, study, images = tmp_path_factory.mktemp("grown"), generate_uid(), {}
    for number in (1, 2):
        made = phantom.generate(20 + number, rows=640, columns=528)
        path = folder / f"{number}.dcm"
        # A series each: of two images in one series OHIF 3.13.2 may draw the overlay of the one over the other.
        series = generate_uid()
        ds = phantom.dataset(made, study_instance_uid=study, series_instance_uid=series, patient_id="PHANTOM-20")
        ds.save_as(path, enforce_file_format=True)
        send(node, archive, path, revision=number)
        images[str(ds.SOPInstanceUID)] = made
    return Answered("DX 640×528, two images, revision 2", str(study), images, fetch(archive, str(study), folder))


def send(node: RunningNode, archive: peers.Orthanc, path: Path, *, revision: int) -> None:
    """Send an image to the archive and to the node, and wait until its study is answered."""
    peers.storescu(archive.port, [path], called_ae_title=archive.ae_title)
    assert node.send([path]) == [0x0000]
    assert node.wait_until_ended(study_uid(path), revision=revision).job_state == "done"


def fetch(archive: peers.Orthanc, uid: str, folder: Path) -> list[Path]:
    """Fetch what the archive holds of a study, but for the images."""
    files = archive.files(uid, folder)
    return [path for path in files if dcmread(path, stop_before_pixels=True).Modality not in SOURCES]
