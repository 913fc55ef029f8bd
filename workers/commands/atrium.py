"""Analysis of an MR series from files: the left atrium as a multi-frame SEG, a PNG to look at, and a JSON summary."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.volume import series as mr
from models.volume.atrium import VolumeAnalyser
from models.volume.findings import VolumeFindings
from models.volume.series import Canonical, Series, SeriesRefused
from node.commands.files import files_under
from node.errors import Misconfigured
from workers.pipelines.atrium import eligibility
from workers.pipelines.networks import configuration_digest
from workers.pipelines.study import StudyImage, read_image
from workers.results.builders.volume_segmentation import VolumeRequest
from workers.results.encode import encode_volume
from workers.results.request import EncodedResult
from workers.results.sources.source import Source, in_order
from workers.results.text.wording import RESEARCH_ONLY

PANELS, PANELS_A_ROW = 12, 4
_LONGEST = 512
"""Rows or columns of one panel; larger ones are thinned."""


@dataclass(frozen=True)
class VolumeAnalysis:
    """One analysed series; `result` is None where no atrium was found."""

    series: Series
    findings: VolumeFindings
    result: EncodedResult | None


def series_files(paths: Sequence[Path], *, series_uid: str | None = None) -> tuple[StudyImage, ...]:
    """Choose the images of one MR series among the files given; the header of each file is read once, here.

    Raises
    ------
    Misconfigured
        There is no MR image, or there are several series and none was named.
    """
    found: dict[str, list[StudyImage]] = defaultdict(list)
    for path in files_under(paths):
        image = read_image(path, digest="")
        if image.header is not None and image.header.sop_class_uid == eligibility.MR_IMAGE.uid:
            found[image.header.series_instance_uid].append(image)
    if not found:
        raise Misconfigured("no MR image among the files given")
    if series_uid is None and len(found) > 1:
        listed = ", ".join(f"{uid} ({len(images)} slices)" for uid, images in found.items())
        raise Misconfigured(f"{len(found)} MR series; name one with --series: {listed}")
    chosen = next(iter(found)) if series_uid is None else series_uid
    if chosen not in found:
        raise Misconfigured(f"no MR series {chosen} among the files given")
    return tuple(found[chosen])


def analyse(
    analyser: VolumeAnalyser,
    images: Sequence[StudyImage],
    *,
    created_at: datetime,
    centre_mm: Sequence[float] | None = None,
) -> VolumeAnalysis:
    """Analyse one series and encode its SEG.

    Raises
    ------
    Misconfigured
        The files are no series that can be read as a volume.
    """
    try:
        series = mr.read([image.path for image in images])
    except SeriesRefused as error:
        raise Misconfigured(f"the series cannot be analysed: {error}") from error
    findings = analyser.analyse(series, centre_mm=centre_mm)
    if not findings.mask.any():
        return VolumeAnalysis(series, findings, None)
    request = VolumeRequest(
        sources=_sources(series, images),
        findings=findings,
        slice_distance_mm=series.spacing_mm[0],
        configuration_digest=_configuration_digest(analyser, centre_mm),
        created_at=created_at,
    )
    return VolumeAnalysis(series, findings, encode_volume(request))


def _configuration_digest(analyser: VolumeAnalyser, centre_mm: Sequence[float] | None) -> str:
    """Return the digest of the configuration in the node, or another where a place was named."""
    digest = configuration_digest(analyser.dtype, [analyser.bundle])
    if centre_mm is None:
        return digest
    return hashlib.sha256(json.dumps([digest, *centre_mm]).encode()).hexdigest()


def write(analysis: VolumeAnalysis, out: Path) -> list[Path]:
    """Write SEG, PNG and JSON into a folder named for the series; return their paths."""
    folder = out / analysis.series.series_instance_uid
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "atrium.json", folder / "atrium.png"]
    written[0].write_text(json.dumps(summary(analysis), indent=2) + "\n", encoding="utf-8")
    montage_png(analysis, written[1])
    if analysis.result is not None:
        written.append(folder / "atrium-seg.dcm")
        written[-1].write_bytes(analysis.result.content)
    return written


def summary(analysis: VolumeAnalysis) -> dict[str, object]:
    """Return what was found as JSON values; no patient attribute is among them."""
    series, findings = analysis.series, analysis.findings
    with_mask = np.flatnonzero(findings.mask.any(axis=(1, 2)))
    return {
        "research_use_only": RESEARCH_ONLY,
        "series_instance_uid": series.series_instance_uid,
        "slices": len(series.slices),
        "spacing_mm": [round(value, 5) for value in series.spacing_mm],
        "found": bool(len(with_mask)),
        "slices_with_the_structure": len(with_mask),
        "structure": findings.label.name,
        "volume_ml": round(findings.volume_ml, 2),
        "notes": list(findings.notes),
        "bundle": {
            "name": findings.bundle.name,
            "version": findings.bundle.version,
            "digest": findings.bundle.digest,
        },
        "seg_sop_instance_uid": None if analysis.result is None else analysis.result.sop_instance_uid,
    }


def montage_png(analysis: VolumeAnalysis, path: Path) -> None:
    """Draw slices over the extent of the structure, as one looks at them: from below, the patient's left at the right.

    Where nothing was found, slices over the whole volume.
    """
    turn = Canonical.of(analysis.series.axes)
    image = np.asarray(turn.forward(analysis.series.pixels), np.float32)
    mask = np.asarray(turn.forward(analysis.findings.mask), np.bool_)
    spacing = turn.spacing(analysis.series.spacing_mm)
    inside = np.flatnonzero(mask.any(axis=(1, 2)))
    first, last = (int(inside[0]), int(inside[-1])) if len(inside) else (0, len(image) - 1)
    chosen = np.unique(np.linspace(first, last, PANELS).round().astype(int))
    low, high = np.percentile(image, (0.5, 99.5))
    rows = -(-len(chosen) // PANELS_A_ROW)
    figure = Figure(figsize=(3.2 * PANELS_A_ROW, 3.0 * rows + 0.9), dpi=100, facecolor="#101418", layout="constrained")
    for number, z in enumerate(chosen, start=1):
        axes = figure.add_subplot(rows, PANELS_A_ROW, number)
        axes.set_axis_off()
        axes.set_title(f"slice {z + 1} of {len(image)}", color="#9aa7b4", fontsize=8)
        axes.imshow(
            _thinned(image[z]), cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=spacing[1] / spacing[2]
        )
        outline = _thinned(mask[z])
        if outline.any() and not outline.all():
            axes.contour(outline.astype(np.float32), [0.5], colors=["#ff7b72"], linewidths=[1.2])
    found = f"{analysis.findings.volume_ml:.1f} ml" if len(inside) else "not found"
    figure.suptitle(f"Left atrium: {found}. {RESEARCH_ONLY}", color="#ffb454", fontsize=11)
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", facecolor="#101418", metadata={"Software": None})


def _thinned(plane: NDArray[np.generic]) -> NDArray[np.generic]:
    """Drop rows and columns of large slices."""
    step = max(1, -(-max(plane.shape) // _LONGEST))
    return plane[::step, ::step]


def _sources(series: Series, images: Sequence[StudyImage]) -> tuple[Source, ...]:
    """Return the headers of the slices, in the order of the volume."""
    known = {source.uid: source for source in in_order(image.source for image in images if image.source is not None)}
    return tuple(known[one.sop_instance_uid] for one in series.slices)
