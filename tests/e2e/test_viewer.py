"""A radiologist's screen: studies go through a whole node into Orthanc, and OHIF shows their results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from models import phantom
from models.phantom import Phantom, Photometric, SopClass
from tests import peers
from tests.readers import Masks, highdicom_masks
from tests.system import RunningNode, running_node, study_uid
from tests.viewer import browser, ohif, overlay, package, site
from tests.viewer.ohif import Viewer

ANATOMY = "lungs-heart"
"""The bundle whose segmentation is looked at."""
SOURCES = {"CR", "DX", "OT"}


@dataclass(frozen=True)
class Case:
    """One kind of source image."""

    seed: int
    rows: int
    columns: int
    options: dict[str, Any] = field(default_factory=dict)


CASES = {
    "DX portrait": Case(7, 1200, 1004),
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[peers.Orthanc]:
    with peers.orthanc(tmp_path_factory.mktemp("orthanc"), configuration=peers.dicomweb()) as running:
        yield running


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory, archive: peers.Orthanc) -> Iterator[Viewer]:
    root = f"http://127.0.0.1:{archive.http_port}"
    with (
        site.serving(package.dist(), archive=root) as url,
        browser.page(tmp_path_factory.mktemp("browser")) as page,
    ):
        yield ohif.viewer(page, url)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, archive: peers.Orthanc, viewer: Viewer) -> Iterator[RunningNode]:
    """The node; it starts after the viewer, whose absence skips the test."""
    destination = {"ae_title": archive.ae_title, "host": "127.0.0.1", "port": archive.port, "profile": "ohif"}
    with running_node(tmp_path_factory.mktemp("node"), destinations={"archive": destination}) as running:
        yield running


@dataclass(frozen=True)
class Answered:
    """A study that went the whole way: what was sent, and what the archive holds of the results."""

    uid: str
    images: dict[str, Phantom]
    """By SOP Instance UID."""
    results: list[Path]

    def of(self, modality: str, words: str = "") -> list[Path]:
        """Return the results of a modality whose Series Description holds these words."""
        headers = [(path, dcmread(path, stop_before_pixels=True)) for path in self.results]
        return [path for path, ds in headers if ds.Modality == modality and words in ds.SeriesDescription]

    @property
    def seg(self) -> Path:
        """The one segmentation of the anatomy."""
        (path,) = self.of("SEG", ANATOMY)
        return path


def answer(node: RunningNode, archive: peers.Orthanc, folder: Path, case: Case) -> Answered:
    """Send a phantom to the archive and to the node, and fetch the results from the archive."""
    made = phantom.generate(case.seed, rows=case.rows, columns=case.columns)
    path = folder / "source.dcm"
    ds = phantom.write(path, made, patient_id=f"PHANTOM-{case.seed}", **case.options)
    peers.storescu(archive.port, [path], called_ae_title=archive.ae_title)
    assert node.send([path]) == [0x0000]
    line = node.wait_until_ended(study_uid(path))
    assert line.job_state == "done"
    return Answered(study_uid(path), {str(ds.SOPInstanceUID): made}, fetch(archive, study_uid(path), folder))


def fetch(archive: peers.Orthanc, uid: str, folder: Path) -> list[Path]:
    """Fetch what the archive holds of a study, but for the images."""
    files = archive.files(uid, folder)
    return [path for path in files if dcmread(path, stop_before_pixels=True).Modality not in SOURCES]


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def answered(
    request: pytest.FixtureRequest, node: RunningNode, archive: peers.Orthanc, tmp_path_factory: pytest.TempPathFactory
) -> Answered:
    return answer(node, archive, tmp_path_factory.mktemp("answered"), request.param)


def test_the_overlay_lies_where_the_segmentation_and_the_anatomy_are(viewer: Viewer, answered: Answered) -> None:
    viewer.open(answered.uid, derived=2)
    drawn = viewer.load_segmentation(ANATOMY)
    seg = dcmread(answered.seg)
    assert drawn == seg.SOPInstanceUID
    (made,) = answered.images.values()
    assert_overlay(viewer, seg, highdicom_masks(answered.seg), made)
    assert viewer.page.errors == []


def assert_overlay(viewer: Viewer, seg: Dataset, masks: Masks, made: Phantom) -> None:
    """Compare the screen with the masks, and with the anatomy that was drawn into the image."""
    placement, colours = viewer.placement(), viewer.colours()
    seen = overlay.look(viewer.pixels(placement), placement, masks, colours)
    anatomy = {"Right lung": made.right_lung, "Left lung": made.left_lung, "Heart": made.heart}
    labels = {int(segment.SegmentNumber): str(segment.SegmentLabel) for segment in seg.SegmentSequence}
    assert set(labels.values()) == set(anatomy)
    for number, label in labels.items():
        assert seen[number].inside == 1, label
        assert seen[number].outside == 0, label
        truth = overlay.on_screen(anatomy[label], placement)
        assert dice(seen[number].mask, truth) > 0.85, label


def dice(a: overlay.Mask, b: overlay.Mask) -> float:
    """Return the overlap of two masks that are not empty."""
    return float(2 * np.sum(a & b) / (np.sum(a) + np.sum(b)))


def test_the_report_is_shown_as_text(viewer: Viewer, answered: Answered) -> None:
    viewer.open(answered.uid, derived=2)
    (report,) = answered.of("SR")
    assert viewer.load_report() == dcmread(report).SOPInstanceUID
    shown = viewer.text()
    for words in ("Cardiothoracic ratio: 0.", "Pneumothorax: ", "probability 0.", "not for clinical use"):
        assert words in shown
