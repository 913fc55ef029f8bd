"""Analyse one chest radiograph: gate, intended use, lungs and heart, measurements, findings.

Research use only, not for clinical use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models import anatomy, codes, gate, intended_use
from models.anatomy import Anatomy, Size
from models.bundle import Bundle, GateSettings, Label
from models.codes import Code
from models.errors import BundleRefused
from models.findings import (
    Box,
    BundleIdentity,
    Finding,
    Gate,
    ImageFindings,
    Measurement,
    NotComputed,
    NotComputedReason,
    Segment,
)
from models.inputs import ModelInput, prepare
from models.pixels import Radiograph
from models.runtime import Dtype, Runner

RIGHT_LUNG, LEFT_LUNG, HEART = "right-lung", "left-lung", "heart"


@dataclass(frozen=True)
class Segmentation:
    """What the segmenter says: probabilities (labels, size, size) on the model grid, the gate's view, the way back."""

    probabilities: NDArray[np.float32]
    given: ModelInput
    seen: gate.Observation


class ChestAnalyser:
    """The networks of one process: one segmenter, which the gate looks through, and any number of classifiers."""

    def __init__(self, segmenter: Runner, classifiers: tuple[Runner, ...]) -> None:
        self._segmenter = segmenter
        self._classifiers = classifiers

    @classmethod
    def load(
        cls, bundles: Sequence[Bundle], *, device: str = "cpu", dtype: Dtype = "float32", threads: int = 0
    ) -> ChestAnalyser:
        """Load verified bundles onto a device.

        Parameters
        ----------
        bundles : exactly one of them segments lungs and heart and has a gate.
        device : a torch device, "cpu" or "cuda:0".
        dtype : "bfloat16" runs under autocast; weights and results stay float32.
        threads : torch's threads in this process; 0 leaves them.

        Raises
        ------
        BundleRefused
            There is not exactly one segmenter with a gate, or weights do not fit.
        """
        if threads > 0:
            torch.set_num_threads(threads)
        runners = [Runner(bundle, device=device, dtype=dtype) for bundle in bundles]
        segmenters = [runner for runner in runners if runner.bundle.manifest.task == "segmentation"]
        if len(segmenters) != 1:
            raise BundleRefused(f"{len(segmenters)} bundles segment lungs and heart, exactly one was expected")
        _check_segmenter(segmenters[0])
        return cls(segmenters[0], tuple(runner for runner in runners if runner is not segmenters[0]))

    @property
    def identities(self) -> tuple[BundleIdentity, ...]:
        """Every bundle in use, the segmenter first."""
        return tuple(runner.bundle.identity for runner in (self._segmenter, *self._classifiers))

    def warm_up(self) -> None:
        """Run every network once, so that the first study does not pay for allocation and kernel choice."""
        for runner in (self._segmenter, *self._classifiers):
            size = runner.bundle.manifest.input.size
            runner.run(np.zeros((size, size), np.float32))

    def segment(self, radiograph: Radiograph) -> Segmentation:
        """Run the segmenter and measure what the gate looks at."""
        given = prepare(radiograph, self._segmenter.bundle.manifest.input)
        logits, features, _ = self._segmenter.run(given.image)
        statistics = self._segmenter.statistics
        if features is None or statistics is None:
            raise BundleRefused("the segmenter has no gate")
        probabilities = _sigmoid(logits / np.float32(self._segmenter.bundle.manifest.calibration.temperature))
        seen = gate.observe(probabilities, given.letterbox.content, features, statistics)
        return Segmentation(probabilities, given, seen)

    def judge(self, radiograph: Radiograph) -> Gate:
        """Give the gate's verdict on the pixels alone."""
        return gate.judge(self.segment(radiograph).seen, _settings(self._segmenter.bundle))

    def analyse(
        self, radiograph: Radiograph, *, sop_instance_uid: str, age_years: float | None, view: str | None
    ) -> ImageFindings:
        """Analyse one image.

        Parameters
        ----------
        sop_instance_uid : of the source image, carried into the result.
        age_years : at the time of the study; None is unknown.
        view : View Position (0018,5101); None is unknown.

        Returns
        -------
        Findings with every mask and box on the grid of the source image. Where the gate refuses, nothing else.
        """
        if view and view.upper() in intended_use.LATERAL_VIEWS:
            verdict = Gate(NotComputedReason.VIEW_OUTSIDE_INTENDED_USE, f"view {view} is not frontal")
            return ImageFindings(sop_instance_uid, verdict, pixel_notes=radiograph.notes)
        segmentation = self.segment(radiograph)
        verdict = gate.judge(segmentation.seen, _settings(self._segmenter.bundle))
        if not verdict.passed:
            return ImageFindings(sop_instance_uid, verdict, pixel_notes=radiograph.notes)
        findings, refused = self._classify(radiograph, segmentation.given, age_years=age_years, view=view)
        refusal = intended_use.refusal(self._segmenter.bundle, age_years=age_years, view=view)
        if refusal is not None:
            return ImageFindings(
                sop_instance_uid,
                verdict,
                findings=findings,
                not_computed=(refusal, *refused),
                pixel_notes=radiograph.notes,
            )
        shape = self.anatomy_of(segmentation, radiograph)
        size = anatomy.measure(shape)
        notes = radiograph.notes
        if age_years is None:
            notes += (f"age unknown: {intended_use.age_range(self._segmenter.bundle.manifest.intended_use)} assumed",)
        return ImageFindings(
            sop_instance_uid,
            verdict,
            findings=findings,
            segments=self._segments(shape, radiograph),
            measurements=measurements(size, radiograph, self._segmenter.bundle.identity),
            heart_box=None if shape.heart is None else anatomy.bounding_box(radiograph.to_source(shape.heart)),
            not_computed=refused,
            pixel_notes=notes,
        )

    def _classify(
        self, radiograph: Radiograph, given: ModelInput, *, age_years: float | None, view: str | None
    ) -> tuple[tuple[Finding, ...], tuple[NotComputed, ...]]:
        """Ask every classifier that may be asked; `given` is the segmenter's input, reused where it is the same."""
        findings: list[Finding] = []
        refused: list[NotComputed] = []
        for runner in self._classifiers:
            refusal = intended_use.refusal(runner.bundle, age_years=age_years, view=view)
            if refusal is not None:
                refused.append(refusal)
                continue
            spec = runner.bundle.manifest.input
            same = spec == self._segmenter.bundle.manifest.input
            findings.extend(_findings(runner, given if same else prepare(radiograph, spec)))
        return tuple(findings), tuple(refused)

    def anatomy_of(self, segmentation: Segmentation, radiograph: Radiograph) -> Anatomy:
        """Bring the probabilities to the canonical grid, cut them there and clean them."""
        manifest = self._segmenter.bundle.manifest
        masks: dict[str, NDArray[np.bool_] | None] = {}
        for label, probability in zip(manifest.labels, segmentation.probabilities, strict=True):
            threshold = manifest.operating_point(label.name).threshold
            mask = segmentation.given.to_canonical(probability) >= threshold
            if radiograph.valid is not None:
                mask &= radiograph.valid
            masks[label.name] = anatomy.clean(mask, keep_largest=label.name == HEART)
        return Anatomy(masks[RIGHT_LUNG], masks[LEFT_LUNG], masks[HEART])

    def lungs_of(self, segmentation: Segmentation, radiograph: Radiograph) -> Box | None:
        """Give the box around both lungs on the canonical grid; None unless both were found."""
        shape = self.anatomy_of(segmentation, radiograph)
        return anatomy.lung_box(shape)

    def _segments(self, shape: Anatomy, radiograph: Radiograph) -> tuple[Segment, ...]:
        """Give what was found, on the source grid."""
        masks = {RIGHT_LUNG: shape.right_lung, LEFT_LUNG: shape.left_lung, HEART: shape.heart}
        bundle = self._segmenter.bundle
        found = ((label, masks[label.name]) for label in bundle.manifest.labels)
        return tuple(
            _segment(label, radiograph.to_source(mask), bundle.identity) for label, mask in found if mask is not None
        )


def measurements(size: Size, radiograph: Radiograph, bundle: BundleIdentity) -> tuple[Measurement, ...]:
    """Give widths in mm and areas in cm2 where the spacing is known, else in pixels of the canonical grid.

    Without a calibrated spacing lengths are those at the detector, magnified by 5 to 20 percent.
    """
    spacing = radiograph.spacing_mm
    across = (codes.PIXEL, 1.0) if spacing is None else (codes.MILLIMETRE, spacing[1])
    area = (codes.SQUARE_PIXEL, 1.0) if spacing is None else (codes.SQUARE_CENTIMETRE, spacing[0] * spacing[1] / 100)
    ratio = (codes.RATIO, 1.0)
    rows: tuple[tuple[str, Code, float | None, tuple[Code, float], Code | None, Code | None], ...] = (
        ("cardiothoracic ratio", codes.CARDIOTHORACIC_RATIO, size.cardiothoracic_ratio, ratio, codes.HEART, None),
        ("transverse cardiac diameter", codes.WIDTH, size.cardiac_width, across, codes.HEART, None),
        ("transverse thoracic diameter", codes.WIDTH, size.thoracic_width, across, codes.THORAX, None),
        ("right lung area", codes.AREA, size.right_lung_area, area, codes.LUNG, codes.RIGHT),
        ("left lung area", codes.AREA, size.left_lung_area, area, codes.LUNG, codes.LEFT),
    )
    return tuple(
        Measurement(label, code, float(value) * factor, unit, site, laterality, bundle)
        for label, code, value, (unit, factor), site, laterality in rows
        if value is not None
    )


def _check_segmenter(runner: Runner) -> None:
    """Refuse a segmenter that lacks a label, its threshold, or the gate."""
    manifest = runner.bundle.manifest
    names = tuple(label.name for label in manifest.labels)
    if names != (RIGHT_LUNG, LEFT_LUNG, HEART):
        raise BundleRefused(f"bundle {manifest.name} segments {names}, {(RIGHT_LUNG, LEFT_LUNG, HEART)} was expected")
    for name in names:
        manifest.operating_point(name)
    if manifest.gate is None or runner.statistics is None:
        raise BundleRefused(f"bundle {manifest.name} has no gate")


def _settings(bundle: Bundle) -> GateSettings:
    """Give the limits of the gate."""
    if bundle.manifest.gate is None:
        raise BundleRefused(f"bundle {bundle.manifest.name} has no gate")
    return bundle.manifest.gate


def _findings(runner: Runner, given: ModelInput) -> list[Finding]:
    """Run one classifier."""
    manifest = runner.bundle.manifest
    logits = runner.run(given.image).logits
    probabilities = _sigmoid(logits / np.float32(manifest.calibration.temperature))
    found: list[Finding] = []
    for label, probability in zip(manifest.labels, probabilities, strict=True):
        point = manifest.operating_point(label.name)
        found.append(
            Finding(
                label=label.name,
                code=label.code.to_code(),
                probability=float(probability),
                threshold=point.threshold,
                threshold_rule=point.rule,
                bundle=runner.bundle.identity,
            )
        )
    return found


def _segment(label: Label, mask: NDArray[np.bool_], bundle: BundleIdentity) -> Segment:
    """Make one segment with the codes and the colour of the manifest."""
    return Segment(
        label=label.name,
        property_type=label.code.to_code(),
        property_category=codes.ANATOMICAL_STRUCTURE,
        laterality=None if label.laterality is None else label.laterality.to_code(),
        colour_rgb=label.colour_rgb or (128, 128, 128),
        mask=mask,
        bundle=bundle,
    )


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give probabilities; clipped so that exp does not overflow."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))), np.float32)


__all__ = ["ChestAnalyser", "Segmentation", "measurements"]
