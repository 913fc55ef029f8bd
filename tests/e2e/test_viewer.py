"""A radiologist's screen: studies go through a whole node into Orthanc, and OHIF shows their results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

from models.phantom import Phantom
from tests.support.peers.readers import highdicom_masks
from tests.support.results.interoperability import record
from tests.support.viewer import overlay
from tests.support.viewer.cases import PROFILE, Answered
from tests.support.viewer.ohif import Viewer

pytestmark = pytest.mark.interoperability
ANATOMY = {"Right lung", "Left lung", "Heart"}


def test_the_overlay_lies_where_the_segmentation_and_the_anatomy_are(viewer: Viewer, answered: Answered) -> None:
    segs = anatomy(answered.of("SEG"))
    assert {label for path in segs for label in labels(dcmread(path)).values()} == ANATOMY
    for path in segs:
        assert_shown(viewer, answered, path)
    split = ", one SEG for each segment" if len(segs) > 1 else ""
    record(source=answered.name, object=f"SEG{split}", profile=PROFILE, reader="OHIF overlay")


def test_the_report_is_shown_as_text(viewer: Viewer, answered: Answered) -> None:
    assert_report(viewer, answered, answered.report)
    record(source=answered.name, object="SR", profile=PROFILE, reader="OHIF report")


def test_of_two_images_each_has_its_own_overlay_and_the_newer_revision_is_shown(
    viewer: Viewer, grown: Answered
) -> None:
    every = anatomy(grown.of("SEG"))
    segs = [path for path in every if dcmread(path).InstanceNumber == 2]
    assert (len(every), len(segs)) == (3, 2)
    for path in segs:
        assert_shown(viewer, grown, path)
    record(source=grown.name, object="SEG", profile=PROFILE, reader="OHIF overlay")


def test_of_two_reports_the_newer_is_shown(viewer: Viewer, grown: Answered) -> None:
    reports = grown.of("SR")
    assert len(reports) == 2
    (newest,) = [path for path in reports if "PredecessorDocumentsSequence" in dcmread(path)]
    (oldest,) = set(reports) - {newest}
    assert set(sentences(dcmread(newest))) - set(sentences(dcmread(oldest)))
    assert_report(viewer, grown, newest)
    record(source=grown.name, object="SR", profile=PROFILE, reader="OHIF report")


def test_of_two_images_in_one_series_each_has_its_own_overlay_or_none(viewer: Viewer, paired: Answered) -> None:
    """OHIF takes the first image of the series for a SEG whose metadata it had before the images'."""
    segs = {referenced_image(dcmread(path)): path for path in anatomy(paired.of("SEG"))}
    series = {path: str(dcmread(path, stop_before_pixels=True).SeriesInstanceUID) for path in paired.results}
    images = next(str(dcmread(path).ReferencedSeriesSequence[0].SeriesInstanceUID) for path in segs.values())
    assert len(segs) == 2
    for path in segs.values():
        viewer.open_in_order(paired.uid, first=images, images=2, then=series[path])
        assert_drawn(viewer, paired, path)
    drawn_on = []
    for image, path in segs.items():
        viewer.open_in_order(paired.uid, first=series[path], then=images, derived=3)
        viewer.load_segmentation(series[path])
        drawn_on.append(viewer.image())
        if drawn_on[-1] != image:
            assert overlay.is_grey(viewer.pixels(viewer.placement()))
    assert len(set(drawn_on)) == 1
    outcome = "held where OHIF has the images' metadata before the SEG's; otherwise one of the two draws nothing"
    record(source=paired.name, object="SEG", profile=PROFILE, reader="OHIF overlay", outcome=outcome)


def anatomy(paths: Sequence[Path]) -> list[Path]:
    """Return the segmentations of lungs and heart."""
    return [path for path in paths if set(labels(dcmread(path)).values()) <= ANATOMY]


def labels(seg: Dataset) -> dict[int, str]:
    """Return the segments by number."""
    return {int(segment.SegmentNumber): str(segment.SegmentLabel) for segment in seg.SegmentSequence}


def assert_shown(viewer: Viewer, answered: Answered, path: Path) -> None:
    """Open the study, load a segmentation, and compare the screen with its masks and with the anatomy in the image."""
    viewer.open(answered.uid, derived=2)
    assert_drawn(viewer, answered, path)


def assert_drawn(viewer: Viewer, answered: Answered, path: Path) -> None:
    """Load a segmentation of the opened study, and compare."""
    seg = dcmread(path)
    assert viewer.load_segmentation(str(seg.SeriesInstanceUID)) == seg.SOPInstanceUID
    image = referenced_image(seg)
    viewer.show_image(image)
    placement, masks = viewer.placement(), highdicom_masks(path)
    seen = overlay.look(viewer.pixels(placement), placement, masks, viewer.colours())
    truth = truths(answered.images[image])
    for number, label in labels(seg).items():
        assert seen[number].inside == 1, label
        assert seen[number].outside == 0, label
        assert dice(seen[number].mask, overlay.on_screen(truth[label], placement)) > 0.85, label
    assert viewer.page.errors == []


def referenced_image(seg: Dataset) -> str:
    """Return the SOP Instance UID of the image that a segmentation belongs to."""
    return str(seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID)


def truths(made: Phantom) -> dict[str, overlay.Mask]:
    """Return the anatomy that was drawn into an image."""
    return {"Right lung": made.right_lung, "Left lung": made.left_lung, "Heart": made.heart}


def dice(a: overlay.Mask, b: overlay.Mask) -> float:
    """Return the overlap of two masks that are not both empty."""
    return float(2 * np.sum(a & b) / (np.sum(a) + np.sum(b)))


def assert_report(viewer: Viewer, answered: Answered, path: Path) -> None:
    """Open the study and its report, and look for the sentences of its findings."""
    sr = dcmread(path)
    viewer.open(answered.uid, derived=2)
    viewer.load_report(str(sr.SeriesInstanceUID))
    shown, said = viewer.text(), list(sentences(sr))
    assert any(words.startswith("Pneumothorax: ") for words in said)
    assert any(words.startswith("Cardiothoracic ratio: 0.") for words in said)
    assert [words for words in said if words not in shown] == []
    assert viewer.is_in_sight("Pneumothorax: ")
    assert viewer.is_in_sight("Cardiothoracic ratio: 0.")
    assert viewer.page.errors == []


def sentences(ds: Dataset) -> Iterator[str]:
    """Yield every text of a report."""
    for item in ds.get("ContentSequence", ()):
        if item.ValueType == "TEXT":
            yield str(item.TextValue)
        yield from sentences(item)


@pytest.mark.skipif("not config.getoption('--interoperability')", reason="pictures are drawn with --interoperability")
def test_pictures_for_the_pages_are_drawn(viewer: Viewer, answer: object, pytestconfig: pytest.Config) -> None:
    answered = answer("DX 1200×1004")  # type: ignore[operator]
    images = pytestconfig.rootpath / "docs" / "images"
    assert_shown(viewer, answered, anatomy(answered.of("SEG"))[0])
    save(viewer, images / "viewer.png")
    assert_report(viewer, answered, answered.report)
    save(viewer, images / "viewer-report.png")


def save(viewer: Viewer, path: Path) -> None:
    """Write what is seen; 256 colours are enough for grey and three hues."""
    Image.fromarray(viewer.page.picture()).quantize(256).save(path, optimize=True)
