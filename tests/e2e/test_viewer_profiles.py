"""What OHIF makes of the other kinds of result and profiles, as it is: what it shows, and what it does not."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.support.results.interoperability import record
from tests.support.viewer.ohif import Placement, Viewer

pytestmark = pytest.mark.interoperability
SOURCE = "DX 1200×1004"
NO_SHARED_GROUP = (
    "TypeError: Cannot destructure property 'PixelMeasuresSequence' of 'SharedFunctionalGroup' as it is undefined."
)
"""What OHIF 3.13.2 says of a SEG without any shared functional group, as the Standard has it for a radiograph."""
BLACK = (0, 0, 0)
OPENINGS, COLOUR_S = 6, 20.0
Results = dict[tuple[str, str], Path]


def test_a_capture_is_shown_as_it_was_burnt_in(viewer: Viewer, of_other_profiles: Results) -> None:
    capture = loaded(viewer, of_other_profiles["complete", "SC"])
    placement = viewer.placement()
    expected = resampled(capture.pixel_array, placement)
    seen = viewer.pixels(placement)
    assert np.abs(seen - expected).max() < 2
    record(source=SOURCE, object="SC", profile="complete", reader="OHIF image")


def test_a_heat_map_is_drawn_over_the_image_that_it_was_computed_from(
    viewer: Viewer, of_other_profiles: Results
) -> None:
    """OHIF 3.13.2 loads the map each time, and at times does not draw it."""
    heat = dcmread(of_other_profiles["complete", "PM"])
    assert any(is_drawn(viewer, of_other_profiles["complete", "PM"]) for _ in range(OPENINGS))
    placement = viewer.placement()
    seen = viewer.pixels(placement)
    expected = resampled(np.frombuffer(heat.FloatPixelData, np.float32).reshape(heat.Rows, heat.Columns), placement)
    colour = np.ptp(seen, axis=-1)
    assert expected.max() > 0.1
    assert np.corrcoef(colour.ravel(), expected.ravel())[0, 1] > 0.98
    outcome = "held where it is drawn; at times it is not, until the study is opened again"
    record(source=SOURCE, object="PM", profile="complete", reader="OHIF heat map", outcome=outcome)


def test_a_page_reaches_the_browser(viewer: Viewer, of_other_profiles: Results) -> None:
    """Headless Chromium draws no PDF: what the page hands to its PDF viewer is compared."""
    document = loaded(viewer, of_other_profiles["complete", "DOC"])
    address = "document.querySelector('object[type=\"application/pdf\"]').data"
    digest = "crypto.subtle.digest('SHA-256', bytes)).then(digest => [...new Uint8Array(digest)]"
    viewer.page.wait(address)
    given = viewer.page.ask(f"fetch({address}).then(page => page.arrayBuffer()).then(bytes => {digest})")
    assert bytes(given) == hashlib.sha256(document.EncapsulatedDocument).digest()
    record(source=SOURCE, object="DOC", profile="complete", reader="OHIF page")


@pytest.mark.parametrize("kind", ["KO", "PR"])
def test_kinds_that_the_viewer_does_not_know_are_listed_and_marked(
    viewer: Viewer, of_other_profiles: Results, kind: str
) -> None:
    path = of_other_profiles["complete", kind]
    result = dcmread(path)
    viewer.open(str(result.StudyInstanceUID), derived=2)
    assert not viewer.is_known(str(result.SeriesInstanceUID))
    record(source=SOURCE, object=kind, profile="complete", reader="OHIF", outcome="listed as not supported")


@pytest.mark.parametrize("profile", ["strict", "compressed", "labelmap"])
def test_a_segmentation_without_shared_functional_groups_is_refused(
    viewer: Viewer, of_other_profiles: Results, profile: str
) -> None:
    seg = dcmread(of_other_profiles[profile, "SEG"])
    viewer.open(str(seg.StudyInstanceUID), derived=2)
    viewer.load(str(seg.SeriesInstanceUID))
    errors = [error.splitlines()[0] for error in viewer.page.errors if error.startswith("TypeError")]
    assert set(errors) == {NO_SHARED_GROUP}
    assert viewer.page.ask("document.querySelectorAll('[data-cy=viewport-pane]').length") == 0
    outcome = f"refused, the viewer stops: {NO_SHARED_GROUP}"
    record(source=SOURCE, object="SEG", profile=profile, reader="OHIF overlay", outcome=outcome)


def test_a_label_map_is_drawn_in_the_colours_of_the_segments_before(viewer: Viewer, of_other_profiles: Results) -> None:
    seg = dcmread(of_other_profiles["oriented-labelmap", "SEG"])
    background, first, *_ = seg.SegmentSequence
    assert (background.SegmentLabel, background.SegmentNumber, first.SegmentNumber) == ("Background", 0, 1)
    viewer.open(str(seg.StudyInstanceUID), derived=2)
    assert viewer.load_segmentation(str(seg.SeriesInstanceUID)) == seg.SOPInstanceUID
    assert viewer.colours()[1] == BLACK
    outcome = "each segment in the colour of the one before it, the first in black"
    record(source=SOURCE, object="SEG LABELMAP", profile="oriented-labelmap", reader="OHIF overlay", outcome=outcome)


def test_a_binary_segmentation_in_jpeg_2000_does_not_come_through_the_archive(
    viewer: Viewer, of_other_profiles: Results
) -> None:
    seg = dcmread(of_other_profiles["oriented-j2k", "SEG"])
    viewer.open(str(seg.StudyInstanceUID), derived=2)
    viewer.begin_to_load(str(seg.SeriesInstanceUID))
    assert "request failed" in viewer.page.wait_for_error()
    outcome = "refused: Orthanc serves no frame of it"
    record(source=SOURCE, object="SEG BINARY", profile="oriented-j2k", reader="OHIF overlay", outcome=outcome)


def loaded(viewer: Viewer, path: Path) -> Dataset:
    """Open the study of a result and load it; return the object."""
    result = dcmread(path)
    viewer.open(str(result.StudyInstanceUID), derived=2)
    viewer.load(str(result.SeriesInstanceUID))
    return result


def is_drawn(viewer: Viewer, path: Path) -> bool:
    """Load a heat map, and wait for its colours."""
    loaded(viewer, path)
    return viewer.is_coloured_within(COLOUR_S)


def resampled(values: np.ndarray, placement: Placement) -> np.ndarray:
    """Return values of a source (rows, columns[, 3]) as they lie on the screen, linearly interpolated, 0 outside."""
    row, column = (part.astype(np.float32) for part in placement.source_of_screen())
    return cv2.remap(values.astype(np.float32), column, row, cv2.INTER_LINEAR)
