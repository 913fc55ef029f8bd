"""OHIF as a reader uses it: open a study, load a segmentation or a report, look."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from tests.support.viewer.browser import Page, PageFailed, Picture
from tests.support.viewer.site import Site

TOUR_SEEN = "localStorage.setItem('shownTours', JSON.stringify(['basicViewerTour']))"
FIRST_VIEWPORT = "cornerstone.getEnabledElements()[0].viewport"
DRAWN = f"services.segmentationService.getSegmentationRepresentations({FIRST_VIEWPORT}.id)"
SHOWN = (
    "services.viewportGridService.getState().viewports.get("
    "services.viewportGridService.getActiveViewportId()).displaySetInstanceUIDs"
)
DERIVED = "[...document.querySelectorAll('[data-cy=\"study-browser-thumbnail-no-image\"]')]"
PANE = "[data-cy=viewport-pane]"
ONLY_PIXELS = f"{PANE} * {{ visibility: hidden !important }} {PANE} canvas {{ visibility: visible !important }}"
FRAME_PX = 3
"""The frame around the active viewport, which is drawn over its pixels."""
LOADING_S = 90.0
"""SwiftShader draws a segmentation in 10 to 20 s on two cores."""


@dataclass(frozen=True)
class Placement:
    """Where the shown image lies on the screen: an affine map, and what is seen of the viewport, in CSS pixels."""

    corner: tuple[float, float]
    """Screen position (x, y) of the centre of source pixel (0, 0)."""
    along_row: tuple[float, float]
    """Step on the screen (x, y) from one column to the next."""
    along_column: tuple[float, float]
    """Step on the screen (x, y) from one row to the next."""
    left: int
    top: int
    width: int
    height: int

    def source_of_screen(self) -> tuple[np.ndarray, np.ndarray]:
        """Return row and column of the source, as float (height, width), under the centre of each screen pixel."""
        y, x = np.mgrid[0 : self.height, 0 : self.width] + 0.5
        step = np.array([self.along_row, self.along_column], float).T
        away = np.stack([x + self.left - self.corner[0], y + self.top - self.corner[1]])
        column, row = np.einsum("ij,jyx->iyx", np.linalg.inv(step), away)
        return row, column


@dataclass
class Viewer:
    """The viewer in one tab, over one archive."""

    page: Page
    site: Site

    def open(self, study_uid: str, *, derived: int) -> None:
        """Open a study and wait until its image is drawn and its `derived` series are listed."""
        self.begin_to_open(study_uid)
        self.wait_until_open(derived=derived)

    def open_in_order(self, study_uid: str, *, first: str, then: str, images: int = 1, derived: int = 2) -> None:
        """Open a study so that the viewer knows one series, of so many images, before the metadata of another."""
        self.site.hold_back(then)
        self.begin_to_open(study_uid)
        self.wait_until_known(first, images=images)
        self.site.release()
        self.wait_until_open(derived=derived)
        self.wait_until_known(then)

    def begin_to_open(self, study_uid: str) -> None:
        """Go to a study."""
        self.page.open(f"{self.site.url}/viewer?StudyInstanceUIDs={study_uid}")

    def wait_until_known(self, series_uid: str, *, images: int = 1) -> None:
        """Wait until the viewer has made what it shows of a series: one for each image of it, or one object."""
        made = f"services.displaySetService.getDisplaySetsForSeries({json.dumps(series_uid)}).length"
        self.page.wait(f"{made} >= {images}", timeout_s=LOADING_S)

    def wait_until_open(self, *, derived: int) -> None:
        """Wait until the image is drawn and `derived` series are listed."""
        self.page.wait(f"window.cornerstone && {FIRST_VIEWPORT}.getCurrentImageId()", timeout_s=LOADING_S)
        self.page.wait(f"{DERIVED}.length >= {derived}")
        self._settle()

    def series(self) -> list[str]:
        """Return what the study's list says of each derived series: modality, description, number, instances."""
        listed: list[str] = self.page.ask(f"{DERIVED}.map(e => e.innerText.replaceAll('\\n', ' '))")
        return listed

    def load_segmentation(self, series_uid: str) -> str:
        """Double-click a SEG series in the study's list; return the SOP Instance UID of what is drawn."""
        self.begin_to_load(series_uid)
        self.page.wait(f"{DRAWN}.length > 0", timeout_s=LOADING_S)
        self._settle()
        return self._instance_of(f"{DRAWN}.map(r => r.segmentationId)")

    def begin_to_load(self, series_uid: str) -> None:
        """Double-click a series in the study's list."""
        item = f"document.getElementById('thumbnail-' + {_display_set(series_uid)}.displaySetInstanceUID)"
        self.page.wait(f"{item} && ({item}.scrollIntoView() || true)")
        box = self.page.ask(f"{item}.getBoundingClientRect().toJSON()")
        self.page.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, times=2)

    def load(self, series_uid: str) -> None:
        """Double-click a series of any kind in the study's list, and wait until the page is at rest."""
        self.begin_to_load(series_uid)
        self._settle()

    def is_coloured_within(self, timeout_s: float) -> bool:
        """Whether something coloured is drawn over the grey image within a time."""
        deadline = time.monotonic() + timeout_s
        while not np.ptp(self.pixels(self.placement()), axis=-1).any():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        self._settle()
        return True

    def is_known(self, series_uid: str) -> bool:
        """Whether the viewer can show a series of the study; one that it cannot is listed with a mark."""
        self.page.wait(_display_set(series_uid))
        return bool(self.page.ask(f"!{_display_set(series_uid)}.unsupported"))

    def load_report(self, series_uid: str) -> None:
        """Double-click an SR series in the study's list; which of its instances is shown, only the text tells."""
        self.begin_to_load(series_uid)
        self.page.wait(f"{SHOWN}.some(i => services.displaySetService.getDisplaySetByUID(i).Modality == 'SR')")
        self._settle()

    def text(self) -> str:
        """Return the text of the viewports."""
        return str(self.page.ask("document.querySelector('[data-cy=viewport-grid]').innerText"))

    def is_in_sight(self, words: str) -> bool:
        """Whether the first element that holds these words and no other element is on the screen, whole."""
        found = "[...document.querySelectorAll('[data-cy=viewport-grid] *')].find"
        box = f"{found}(e => !e.childElementCount && e.innerText.includes({json.dumps(words)})).getBoundingClientRect()"
        return bool(self.page.ask(f"{box}.top >= 0 && {box}.bottom <= window.innerHeight"))

    def colours(self) -> dict[int, tuple[int, int, int]]:
        """Return the colour in which each segment is drawn, by Segment Number."""
        drawn = self.page.ask(
            f"{DRAWN}.flatMap(r => Object.values(r.segments).map(s => [s.segmentIndex, ...s.color.slice(0, 3)]))"
        )
        return {int(number): (int(r), int(g), int(b)) for number, r, g, b in drawn}

    def show_image(self, instance_uid: str) -> None:
        """Wait until the shown series is that of an image, and scroll to it."""
        found = f"{FIRST_VIEWPORT}.getImageIds().findIndex(i => i.includes('/instances/{instance_uid}/'))"
        self.page.wait(f"{found} >= 0", timeout_s=LOADING_S)
        self.page.ask(f"{FIRST_VIEWPORT}.setImageIdIndex({found}).then(() => true)")
        self._settle()

    def image(self) -> str:
        """Return the SOP Instance UID of the shown image."""
        return str(self.page.ask(f"{FIRST_VIEWPORT}.getCurrentImageId().match('/instances/([0-9.]+)/')[1]"))

    def placement(self) -> Placement:
        """Return where the shown image lies on the screen."""
        found = self.page.ask(
            f"""(() => {{
              const v = {FIRST_VIEWPORT}, d = v.getImageData(), box = v.canvas.getBoundingClientRect();
              const at = (c, r) => v.worldToCanvas(d.imageData.indexToWorld([c, r, 0]));
              return {{at: [at(0, 0), at(1000, 0), at(0, 1000)].map(p => [...p]), box: box.toJSON()}};
            }})()"""
        )
        origin, right, down = np.array(found["at"], float)
        box = found["box"]
        x, y = origin[0] + box["left"], origin[1] + box["top"]
        return Placement(
            corner=_pair((x, y)),
            along_row=_pair((right - origin) / 1000),
            along_column=_pair((down - origin) / 1000),
            left=round(box["left"]) + FRAME_PX,
            top=round(box["top"]) + FRAME_PX,
            width=round(box["width"]) - 2 * FRAME_PX,
            height=round(box["height"]) - 2 * FRAME_PX,
        )

    def pixels(self, placement: Placement) -> Picture:
        """Return what is drawn in the viewport, (rows, columns, 3), without the labels that lie over it."""
        with self._without_labels():
            seen = self.page.picture()
        rows = slice(placement.top, placement.top + placement.height)
        return seen[rows, placement.left : placement.left + placement.width]

    @contextmanager
    def _without_labels(self) -> Iterator[None]:
        self.page.ask(
            "{ const s = document.createElement('style'); s.id = 'only-pixels';"
            f" s.textContent = {json.dumps(ONLY_PIXELS)}; document.head.append(s); }}"
        )
        try:
            yield
        finally:
            self.page.ask("document.getElementById('only-pixels').remove()")

    def _instance_of(self, display_sets: str) -> str:
        """Return the SOP Instance UID of the one display set whose identifiers an expression gives."""
        shown = self.page.ask(
            f"{display_sets}.map(i => services.displaySetService.getDisplaySetByUID(i).SOPInstanceUID)"
        )
        if len(shown) != 1:
            raise PageFailed(f"expected one instance in the viewport, found {shown}")
        return str(shown[0])

    def _settle(self) -> None:
        """Wait until three looks in a row see the same."""
        same, before = 0, self.page.picture()
        deadline = time.monotonic() + LOADING_S
        while same < 2:
            now = self.page.picture()
            same = same + 1 if np.array_equal(before, now) else 0
            before = now
            if time.monotonic() > deadline:
                raise PageFailed(f"the page does not come to rest within {LOADING_S} s")


def _display_set(series_uid: str) -> str:
    return f"services.displaySetService.getDisplaySetsForSeries({json.dumps(series_uid)})[0]"


def _pair(values: Iterable[float]) -> tuple[float, float]:
    x, y = values
    return float(x), float(y)


def viewer(page: Page, site: Site) -> Viewer:
    """Return the viewer that a site serves, its tour being over."""
    page.call("Page.addScriptToEvaluateOnNewDocument", source=TOUR_SEEN)
    return Viewer(page, site)
