"""What a result is made from, and what encoding yields: the boundary between the pipeline and the DICOM objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from models.values.findings import BundleIdentity, ImageFindings
from models.volume.findings import VolumeFindings
from node.dicom.kinds import ResultKind
from node.reasons import Reason
from workers.results.sources.source import Source


@dataclass(frozen=True)
class DeclinedImage:
    """A source image for which nothing was computed, with the coded reason and one sentence for the reader."""

    sop_instance_uid: str
    reason: Reason
    detail: str


@dataclass(frozen=True)
class UseStatement:
    """What one bundle may be used for, in the words of its manifest; repeated in every report."""

    bundle_name: str
    text: str
    age_years_from: float | None = None
    """Youngest age; None: not said."""
    age_years_below: float | None = None
    """First age that is too old; None: no limit."""
    views: tuple[str, ...] = ()
    """Values of View Position (0018,5101)."""
    translations: Mapping[str, str] = field(default_factory=dict)
    """The same words in other languages, by their tag (RFC 5646), where the manifest has them."""


@dataclass(frozen=True)
class SeriesFindings:
    """What was found in a series as one volume.

    Attributes
    ----------
    slices
        SOP Instance UIDs in the order of the mask's first axis.
    slice_distance_mm
        From one slice to the next, which is not their thickness.
    """

    series_instance_uid: str
    slices: tuple[str, ...]
    slice_distance_mm: float
    findings: VolumeFindings


@dataclass(frozen=True)
class DeclinedSeries:
    """Images of one series for which nothing was computed, with the coded reason and one sentence for the reader."""

    series_instance_uid: str
    images: tuple[str, ...]
    reason: Reason
    detail: str


class Predecessor(NamedTuple):
    """A result of the revision that this one supersedes."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True)
class ResultRequest:
    """One analysed study revision.

    Attributes
    ----------
    sources
        Headers of every image of the study, analysed or declined, that has one, in the order of
        `workers.results.sources.source.in_order`. The pixel data of a declined one may be undecodable.
    images
        Findings of the analysed images; also those that the gate refused (`gate.passed` is False).
    declined
        Images that never reached the networks.
    series
        Findings of the series that were analysed as volumes.
    declined_series
        Series of which nothing was computed.
    bundles
        The bundles that ran; empty where every image was declined.
    configuration_digest
        SHA-256, in hex, of the operating configuration (thresholds, arithmetic, profile-independent settings).
    revision
        1 for the first analysis of the study; n + 1 supersedes n.
    created_at
        The job's stored timestamp (UTC); the only clock that a result may show.
    intended_use
        Statements of the bundles' manifests for the report.
    urgent
        The study was routed as STAT.
    opener
        Who opened the study, where another sender had opened one under its UID before; empty for the first.
    assumed_age_years
        Age that the site's rule assumes of an image that gives none; None: none was assumed.
    """

    study_instance_uid: str
    sources: tuple[Source, ...]
    images: tuple[ImageFindings, ...]
    declined: tuple[DeclinedImage, ...]
    bundles: tuple[BundleIdentity, ...]
    configuration_digest: str
    revision: int
    created_at: datetime
    intended_use: tuple[UseStatement, ...] = ()
    urgent: bool = False
    assumed_age_years: float | None = None
    series: tuple[SeriesFindings, ...] = ()
    declined_series: tuple[DeclinedSeries, ...] = ()
    opener: str = ""

    @property
    def named(self) -> str:
        """What UIDs of results derive from in place of the Study Instance UID, which several openers may share."""
        return f"{self.study_instance_uid}|{self.opener}" if self.opener else self.study_instance_uid


@dataclass(frozen=True)
class EncodedResult:
    """One result object as it will be stored and sent: Part 10 bytes."""

    kind: ResultKind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    content: bytes
