"""What the networks say about one radiograph: plain frozen values, without files, datasets or tensors.

Everything downstream (SEG, SR, PNG, JSON, tables) is made from these. All masks lie on the grid of the source image.
`None` means unknown; `()` means that there was nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.values.codes import Code


@dataclass(frozen=True)
class BundleIdentity:
    """The algorithm behind a value: the bundle's name, version and digest.

    `digest` is the SHA-256, in hex, over the manifest and every file that it lists; with the operating configuration
    it identifies the algorithm in audit rows, SR, SEG and metrics. Where a site has set thresholds of its own
    (models/bundle/site.py), the digest is that of bundle and thresholds together, and `shipped_digest` that of the
    bundle.
    """

    name: str
    version: str
    digest: str
    shipped_digest: str | None = None


class Decision(StrEnum):
    """What a classifier says of one finding."""

    PRESENT = "present"
    ABSENT = "absent"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True)
class Finding:
    """A classification result of one image: `probability` (calibrated, 0 to 1) against `threshold`.

    `laterality` is the side where a mask of the same finding lies; None is unknown. `indeterminate_range` is that of
    probabilities, from (inclusive) and to (exclusive), in which the threshold itself is uncertain: another sample of
    validation images would have put it elsewhere in that range. None: the range is not known.
    """

    label: str
    code: Code
    probability: float
    threshold: float
    threshold_rule: str
    bundle: BundleIdentity
    laterality: Code | None = None
    indeterminate_range: tuple[float, float] | None = None

    @property
    def present(self) -> bool:
        """Whether the probability reaches the threshold, in doubt too: then regions of it are outlined."""
        return self.probability >= self.threshold

    @property
    def decision(self) -> Decision:
        """What is said of the finding: where the threshold itself is in doubt, neither present nor absent."""
        if (
            self.indeterminate_range is not None
            and self.indeterminate_range[0] <= self.probability < self.indeterminate_range[1]
        ):
            return Decision.INDETERMINATE
        return Decision.PRESENT if self.present else Decision.ABSENT


@dataclass(frozen=True)
class Segment:
    """A structure found in one image.

    `mask` is bool (rows, columns) on the source grid and holds at least one true pixel: a structure that was not found
    is an absent segment, never an empty one.
    """

    label: str
    property_type: Code
    property_category: Code
    laterality: Code | None
    colour_rgb: tuple[int, int, int]
    mask: NDArray[np.bool_]
    bundle: BundleIdentity


@dataclass(frozen=True)
class Box:
    """A bounding box on the source grid, in pixels; the maximum edges are exclusive (width = x1 - x0)."""

    x0: int
    y0: int
    x1: int
    y1: int


class Point(NamedTuple):
    """A place in the source image, in pixels from the upper left corner of its first pixel, whose middle is 0.5, 0.5.

    These are the coordinates of SCOORD (PS3.3 section C.18.6), in the order of arrays.
    """

    row: float
    column: float


class Edge(StrEnum):
    """An edge of the image, as the patient has it."""

    TOP = "top"
    BOTTOM = "bottom"
    RIGHT = "right"
    LEFT = "left"


@dataclass(frozen=True)
class Measurement:
    """A number measured in one image, with its coded name, coded unit and the structure that it belongs to.

    `extents` are the widths that it is made of: each the outermost points of a structure, on the patient's right and
    left. The width is the distance along the patient's horizontal, not that between the two points. () is none.
    """

    label: str
    code: Code
    value: float
    unit: Code
    finding_site: Code | None
    laterality: Code | None
    bundle: BundleIdentity
    extents: tuple[tuple[Point, Point], ...] = ()


class NotComputedReason(StrEnum):
    """Why no finding was computed: for the whole image (the gate) or for one bundle (intended use, classifier)."""

    NOT_A_CHEST = "not-a-frontal-chest-radiograph"
    LUNGS_IMPLAUSIBLE = "two-plausible-lungs-not-found"
    AGE_OUTSIDE_INTENDED_USE = "age-outside-intended-use"
    AGE_UNKNOWN = "age-unknown"
    VIEW_OUTSIDE_INTENDED_USE = "view-outside-intended-use"
    NOT_FOUND_BY_CLASSIFIER = "not-found-by-classifier"
    CLASSIFIER_NOT_RUN = "classifier-not-run"


@dataclass(frozen=True)
class Gate:
    """The verdict of the gate that stands before every finding: `reason` is None when the image passed."""

    reason: NotComputedReason | None
    detail: str

    @property
    def passed(self) -> bool:
        """Whether findings may be computed."""
        return self.reason is None


@dataclass(frozen=True)
class NotComputed:
    """One bundle that was not run on an image that passed the gate, and why."""

    bundle: BundleIdentity
    label: str
    reason: NotComputedReason
    detail: str


@dataclass(frozen=True)
class SegmentationEmpty:
    """A disease that a classifier found and that the bundle for its outline looked for without finding a region."""

    bundle: BundleIdentity
    label: str
    code: Code
    detail: str


@dataclass(frozen=True)
class HeatMap:
    """Where the classifier `bundle` looked for `label`: float32 (rows, columns) in 0 to 1 on the source grid."""

    label: str
    bundle: BundleIdentity
    values: NDArray[np.float32]


@dataclass(frozen=True)
class ImageFindings:
    """All that was computed for one source image (one SOP Instance)."""

    sop_instance_uid: str
    gate: Gate
    findings: tuple[Finding, ...] = ()
    segments: tuple[Segment, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    heart_box: Box | None = None
    segmentation_empty: tuple[SegmentationEmpty, ...] = ()
    not_computed: tuple[NotComputed, ...] = ()
    pixel_notes: tuple[str, ...] = ()
    heat_maps: tuple[HeatMap, ...] = ()
    """Only where they were asked for."""
    cut_off: tuple[Edge, ...] | None = None
    """Edges that the lungs reach, beyond which part of them may lie; None: not measured."""
