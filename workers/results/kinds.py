"""How the objects of each kind are made and checked: one row a kind, beside its facts in `node/dicom/kinds.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from models.values.findings import BundleIdentity, ImageFindings
from node.dicom.kinds import ResultKind
from workers.results.builders import (
    encapsulated_pdf,
    key_objects,
    parametric_map,
    presentation_state,
    report,
    secondary_capture,
    segmentation,
)
from workers.results.builders.encoding import Builder
from workers.results.checks.content import content_items, observers, procedure, reasons, regions, tracking
from workers.results.checks.examined import Check
from workers.results.checks.fixed import colour_space, pdf, segmentation_type
from workers.results.checks.pictures import graphics, grid, length
from workers.results.checks.references import evidence
from workers.results.checks.segments import makers, properties, segments
from workers.results.checks.volumes import slices, structure
from workers.results.parts.series import bundles_of, bundles_of_heat_maps, bundles_of_segments


@dataclass(frozen=True)
class Making:
    """What makes the objects of a kind, and what is looked at in them.

    Attributes
    ----------
    build
        Makes them: for a kind that speaks of an image it is called with one image at a time, otherwise with all.
    checks
        What is looked at in each of them, after what is looked at in every result.
    checks_of_series
        What is looked at instead in one that shows a series as a volume.
    bundles
        Those that computed what is shown of an image; None where the object names every bundle of the request.
    """

    build: Builder
    checks: tuple[Check, ...] = ()
    checks_of_series: tuple[Check, ...] = ()
    bundles: Callable[[ImageFindings], Iterable[BundleIdentity]] | None = None


_DOCUMENT: tuple[Check, ...] = (content_items, observers, evidence)

MAKING: Mapping[ResultKind, Making] = {
    ResultKind.SEG: Making(
        segmentation.build,
        checks=(segmentation_type, grid, length, segments, properties, makers),
        checks_of_series=(slices, length, segments, structure, makers),
        bundles=bundles_of_segments,
    ),
    ResultKind.SC: Making(secondary_capture.build, checks=(colour_space, length), bundles=bundles_of),
    ResultKind.PM: Making(parametric_map.build, checks=(grid, length), bundles=bundles_of_heat_maps),
    ResultKind.PR: Making(presentation_state.build, checks=(graphics,), bundles=bundles_of_segments),
    ResultKind.SR: Making(report.build, checks=(*_DOCUMENT, reasons, procedure, tracking, regions)),
    ResultKind.KO: Making(key_objects.build, checks=_DOCUMENT),
    ResultKind.DOC: Making(encapsulated_pdf.build, checks=(pdf,)),
}
"""In the order in which objects are made: each after those that it refers to. A test holds it whole."""
