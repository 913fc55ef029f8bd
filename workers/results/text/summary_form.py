"""The form of a summary: what its JSON holds, key by key. A side is that of the patient; None: unknown, or none."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class SaidReason(TypedDict):
    """Why something was not done: a stable value, and words."""

    reason: str
    meaning: str


class AlgorithmSummary(TypedDict):
    """A bundle that ran, with what its manifest says that it is for; None: it says nothing."""

    name: str
    version: str
    digest: str
    shipped_digest: str
    intended_use: str | None
    intended_age_years: list[float | None] | None
    intended_views: list[str] | None


class GateSummary(TypedDict):
    """Whether the gate let an image pass, and why not."""

    passed: bool
    detail: str
    reason: NotRequired[str]
    meaning: NotRequired[str]


class FindingSummary(TypedDict):
    """A finding; `decision` is a value of `models.values.findings.Decision`."""

    label: str
    code: str
    decision: str
    present: bool
    laterality: str | None
    probability: float
    threshold: float
    threshold_rule: str
    doubt: list[float] | None
    bundle: str


class StructureSummary(TypedDict):
    """What was outlined."""

    label: str
    code: str
    category: str
    is_disease: bool
    laterality: str | None
    pixels: int
    bundle: str


class PointSummary(TypedDict):
    """A point in pixels of the source image."""

    row: float
    column: float


class MeasurementSummary(TypedDict):
    """A number with its unit, and between which points it was taken."""

    label: str
    code: str
    value: float
    unit: str
    laterality: str | None
    extents: list[list[PointSummary]]
    bundle: str


class BoxSummary(TypedDict):
    """A box in pixels of the source image; its second corner is outside."""

    x0: int
    y0: int
    x1: int
    y1: int


class SegmentationEmptySummary(TypedDict):
    """What was found although its segmentation is empty."""

    label: str
    bundle: str
    detail: str


class NotComputedSummary(SaidReason):
    """What was not computed, and why."""

    label: str
    bundle: str
    detail: str


class QualitySummary(TypedDict):
    """One thing known of the quality of an image."""

    name: str | None
    answer: str | None
    text: str
    matters: bool


class ImageSummary(TypedDict):
    """One analysed image."""

    sop_instance_uid: str
    gate: GateSummary
    findings: list[FindingSummary]
    structures: list[StructureSummary]
    measurements: list[MeasurementSummary]
    heart_box: BoxSummary | None
    not_outlined: list[SegmentationEmptySummary]
    not_computed: list[NotComputedSummary]
    quality: list[QualitySummary]
    pixel_notes: list[str]
    notes: list[str]


class DeclinedSummary(SaidReason):
    """An image that was not analysed."""

    sop_instance_uid: str
    detail: str


class SeriesSummary(TypedDict):
    """What was found in one series as a volume."""

    series_instance_uid: str
    slices: int
    label: str
    code: str
    found: bool
    volume_ml: float
    notes: list[str]
    bundle: str


class DeclinedSeriesSummary(TypedDict):
    """A series, or the images of one for which there is one reason, of which nothing was computed."""

    series_instance_uid: str
    images: int
    reason: str
    meaning: str
    detail: str


class SeriesPart(TypedDict, total=False):
    """What a summary has besides where the study was analysed by series."""

    series: list[SeriesSummary]
    declined_series: list[DeclinedSeriesSummary]


class Summary(SeriesPart):
    """The whole result of a study; `text` is the same in sentences, `status` one of PS3.16 CID 6042 in words."""

    status: str
    notice: str
    study_instance_uid: str
    revision: int
    created_at: str
    configuration_digest: str
    algorithms: list[AlgorithmSummary]
    images: list[ImageSummary]
    declined: list[DeclinedSummary]
    text: list[str]
