"""The left atrium in one MR volume: from a bundle to a mask on the source grid.

Research use only, not for clinical use.

The training volumes are cut-outs around the atrium; nothing outside was ever seen by the network. A series that shows
more is therefore looked at through a field of that size: around a place that the caller names, or else from the middle
of the volume, moved to where the atrium was found until it rests. How well the second way finds it was not measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from models.bundle.store import Bundle
from models.errors import BundleRefused
from models.inference.runner import Dtype, Network, Runner
from models.volume.findings import VolumeFindings
from models.volume.grid import Float, Mask, Spacing, answered, largest_piece, on_model_grid, resampled
from models.volume.series import Canonical, Series, Vector

_FIELD_SLACK = 1.2
"""How much larger than the training volumes a series may be and still be taken as a whole."""
_MOVES = 3
_AT_REST_MM = 8.0
_OBLIQUE_DEGREES = 25.0
Place = tuple[slice, slice, slice]


class VolumeAnalyser:
    """One network for volumes in memory, on its device."""

    def __init__(self, bundle: Bundle, *, device: str = "cpu", dtype: Dtype = "float32") -> None:
        manifest = bundle.manifest
        if manifest.task != "volume-segmentation" or manifest.volume is None:
            raise BundleRefused(f"bundle {manifest.name} is for {manifest.task}, not for volumes")
        self.bundle, self.spec = bundle, manifest.volume
        self.threshold = manifest.operating_point(manifest.labels[0].name).threshold
        self.dtype = dtype
        self.network: Network = Runner(bundle, device=device, dtype=dtype)

    def analyse(self, series: Series, *, centre_mm: Sequence[float] | None = None) -> VolumeFindings:
        """Segment a series.

        Parameters
        ----------
        centre_mm
            A place in the patient (left, back, head) near the middle of the atrium; None: it is looked for.
        """
        turn = Canonical.of(series.axes)
        image = np.asarray(turn.forward(series.pixels), np.float32)
        spacing = turn.spacing(series.spacing_mm)
        centre = None if centre_mm is None else turn.voxel(series.voxel(centre_mm), series.pixels.shape)
        found, notes = self._search(image, spacing, centre)
        if turn.oblique_degrees > _OBLIQUE_DEGREES:
            notes = (f"the slices are turned by {turn.oblique_degrees:.0f} degrees from those of the training", *notes)
        mask = turn.inverse(found)
        return VolumeFindings(
            mask,
            float(mask.sum()) * math.prod(series.spacing_mm) / 1000,
            self.bundle.identity,
            self.bundle.manifest.labels[0],
            notes,
        )

    def segment(self, image: Float, spacing_mm: Spacing) -> Mask:
        """Segment a canonical volume (to the head, to the back, to the left) as a whole; keep the largest piece."""
        return largest_piece(self.probabilities(image, spacing_mm) >= self.threshold)

    def probabilities(self, image: Float, spacing_mm: Spacing) -> Float:
        """Return the probability at every voxel of a canonical volume."""
        given = on_model_grid(image, spacing_mm, self.spec, self.bundle.manifest.input)
        said = answered(given, self.spec, self._run)[0]
        a, b, c = image.shape
        return resampled(said, self.spec.spacing_mm, spacing_mm, (a, b, c))

    def _run(self, windows: Float) -> Float:
        """Return the probabilities (windows, labels, *window) of windows (windows, *input_shape)."""
        # torch's sigmoid, which training has scored the network with; numpy's differs in the last digit.
        probabilities: Float = torch.from_numpy(self.network.run(windows).logits).sigmoid().numpy()
        return probabilities

    def _search(self, image: Float, spacing: Spacing, centre: Vector | None) -> tuple[Mask, tuple[str, ...]]:
        """Segment within a field of the training's size, moved onto what is found."""
        whole = all(n * s <= f * _FIELD_SLACK for n, s, f in zip(image.shape, spacing, self.spec.field_mm, strict=True))
        if whole and centre is None:
            return self.segment(image, spacing), ()
        at = np.asarray([(n - 1) / 2 for n in image.shape] if centre is None else centre, np.float64)
        found = np.zeros(image.shape, np.bool_)
        field = field_at(image.shape, spacing, self.spec.field_mm, at)
        for _ in range(_MOVES):
            field = field_at(image.shape, spacing, self.spec.field_mm, at)
            found[:] = False
            found[field] = self.segment(image[field], spacing)
            if not found.any():
                break
            middle = np.array([(edges.min() + edges.max()) / 2 for edges in np.nonzero(found)])
            moved = float(np.linalg.norm((middle - at) * spacing))
            at = middle
            if moved < _AT_REST_MM:
                break
        how = "around the place that was given" if centre is not None else "found by search, which was not validated"
        extent = " x ".join(f"{(p.stop - p.start) * s:.0f}" for p, s in zip(field, spacing, strict=True))
        return found, (f"only a field of {extent} mm (head-foot, front-back, side-side) was looked at, {how}",)


def field_at(shape: Sequence[int], spacing: Spacing, field_mm: Spacing, centre: Vector) -> Place:
    """Return the box of a size in millimetres around a voxel, moved to lie within the volume."""
    edges: list[slice] = []
    for count, step, wide, middle in zip(shape, spacing, field_mm, centre, strict=True):
        size = min(count, max(1, round(wide / step)))
        start = min(max(0, round(middle - (size - 1) / 2)), count - size)
        edges.append(slice(start, start + size))
    a, b, c = edges
    return a, b, c
