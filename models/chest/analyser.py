"""Analyse one chest radiograph: gate, intended use, findings, lungs and heart, measurements, outlines of diseases.

Research use only, not for clinical use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from models.bundle import intended_use
from models.bundle.calibration import calibrated, sigmoid
from models.bundle.manifest import GateSettings, Label
from models.bundle.store import Bundle
from models.chest import anatomy, gate
from models.chest import segmenter as lesion_segmenter
from models.chest.anatomy import Anatomy, Size
from models.errors import BundleRefused
from models.image.inputs import InputSpec, ModelInput, prepare
from models.image.pixels import Radiograph
from models.inference.heatmap import heat_map
from models.inference.runner import Answer, Dtype, Network, Runner, run_image
from models.values import codes
from models.values.codes import Code
from models.values.findings import (
    Box,
    BundleIdentity,
    Finding,
    Gate,
    HeatMap,
    ImageFindings,
    Measurement,
    NotComputed,
    NotComputedReason,
    Point,
    Segment,
)
from models.values.patient import Patient

Extents = tuple[tuple[Point, Point], ...]
RIGHT_LUNG, LEFT_LUNG, HEART = "right-lung", "left-lung", "heart"


@dataclass(frozen=True)
class _Image:
    """One image that passed the gate: its lungs, the inputs made of it so far, and what its header says."""

    radiograph: Radiograph
    anatomy: Anatomy
    inputs: dict[InputSpec, ModelInput]
    patient: Patient
    view: str | None

    def refusal(self, bundle: Bundle) -> NotComputed | None:
        """Return why a bundle is not intended for the image."""
        return intended_use.refusal(bundle, age_years=self.patient.age_years, view=self.view)

    def input_of(self, bundle: Bundle) -> ModelInput:
        """Return the input of a bundle, made once for all that take the same."""
        spec = bundle.manifest.input
        if spec not in self.inputs:
            self.inputs[spec] = prepare(self.radiograph, spec, anatomy.lung_box(self.anatomy))
        return self.inputs[spec]


@dataclass(frozen=True)
class Segmentation:
    """What the segmenter says: probabilities (labels, size, size) on the model grid, the gate's view, the way back."""

    probabilities: NDArray[np.float32]
    model_input: ModelInput
    observation: gate.GateObservation


class ChestAnalyser:
    """The networks of one process: a segmenter, which the gate looks through, classifiers, and outlines of diseases."""

    def __init__(
        self, segmenter: Runner, classifiers: tuple[Runner, ...], lesion_segmenters: tuple[Network, ...] = ()
    ) -> None:
        self._segmenter = segmenter
        self._classifiers = classifiers
        self._lesion_segmenters = lesion_segmenters

    @classmethod
    def load(
        cls, bundles: Sequence[Bundle], *, device: str = "cpu", dtype: Dtype = "float32", threads: int = 0
    ) -> ChestAnalyser:
        """Load verified bundles onto a device.

        Parameters
        ----------
        bundles
            Exactly one of them segments lungs and heart and has a gate; those that are not for chest radiographs are
            left out.
        device
            A torch device, "cpu" or "cuda:0".
        dtype
            "bfloat16" runs under autocast; weights and results stay float32.
        threads
            torch's threads in this process; 0 leaves them.

        Raises
        ------
        BundleRefused
            There is not exactly one segmenter with a gate, a threshold or the classifier of an outline is not named,
            or weights do not fit.
        """
        if threads > 0:
            torch.set_num_threads(threads)
        usable = [bundle for bundle in bundles if bundle.manifest.task in intended_use.CHEST_TASKS]
        by_task: dict[str, list[Runner]] = {task: [] for task in intended_use.CHEST_TASKS}
        for bundle in usable:
            _check_thresholds(bundle)
            by_task[bundle.manifest.task].append(Runner(bundle, device=device, dtype=dtype))
        segmenters = by_task["segmentation"]
        if len(segmenters) != 1:
            raise BundleRefused(f"{len(segmenters)} bundles segment lungs and heart, exactly one was expected")
        _check_segmenter(segmenters[0])
        return cls(segmenters[0], tuple(by_task["classification"]), tuple(by_task["lesion-segmentation"]))

    @property
    def networks(self) -> tuple[Network, ...]:
        """Every network in use, the segmenter first."""
        return self._segmenter, *self._classifiers, *self._lesion_segmenters

    def warm_up(self) -> None:
        """Run every network once, so that the first study does not pay for allocation and kernel choice."""
        for network in self.networks:
            size = network.bundle.manifest.input.size
            network.run(np.zeros((1, size, size), np.float32))

    def segment(self, radiograph: Radiograph) -> Segmentation:
        """Run the segmenter and measure what the gate looks at."""
        model_input = prepare(radiograph, self._segmenter.bundle.manifest.input)
        logits, features, _ = run_image(self._segmenter, model_input.image)
        statistics = self._segmenter.statistics
        if features is None or statistics is None:
            raise BundleRefused("the segmenter has no gate")
        temperature = np.float32(self._segmenter.bundle.manifest.calibration.temperature)
        probabilities = sigmoid(logits / temperature, np.float32)
        observation = gate.observe(probabilities, model_input.letterbox.content, features, statistics)
        return Segmentation(probabilities, model_input, observation)

    def judge(self, radiograph: Radiograph) -> Gate:
        """Return the gate's verdict on the pixels alone."""
        return gate.judge(self.segment(radiograph).observation, _settings(self._segmenter.bundle))

    def analyse(
        self,
        radiograph: Radiograph,
        *,
        sop_instance_uid: str,
        age_years: float | None,
        view: str | None,
        sex: str | None = None,
        heat_maps: bool = False,
    ) -> ImageFindings:
        """Analyse one image.

        Parameters
        ----------
        sop_instance_uid
            Of the source image, carried into the result.
        age_years
            At the time of the study; None is unknown.
        view
            View Position (0018,5101); None is unknown.
        sex
            Patient's Sex (0010,0040), for bundles that take it; None is unknown.
        heat_maps
            Also give a heat map of every finding that is present.

        Returns
        -------
        Findings with every mask and box on the grid of the source image. Where the gate refuses, nothing else.
        """
        if view and view.upper() in intended_use.OTHER_VIEWS:
            verdict = Gate(NotComputedReason.VIEW_OUTSIDE_INTENDED_USE, f"view {view} is not frontal")
            return ImageFindings(sop_instance_uid, verdict, pixel_notes=radiograph.notes)
        segmentation = self.segment(radiograph)
        verdict = gate.judge(segmentation.observation, _settings(self._segmenter.bundle))
        if not verdict.passed:
            return ImageFindings(sop_instance_uid, verdict, pixel_notes=radiograph.notes)
        shape = self.anatomy_of(segmentation, radiograph)
        inputs = {self._segmenter.bundle.manifest.input: segmentation.model_input}
        image = _Image(radiograph, shape, inputs, Patient(age_years, sex), view)
        found = ImageFindings(sop_instance_uid, verdict, pixel_notes=radiograph.notes)
        return self._segment_lesions(image, self._measure(image, self._classify(image, found, heat_maps=heat_maps)))

    def _classify(self, image: _Image, found: ImageFindings, *, heat_maps: bool) -> ImageFindings:
        """Ask every classifier that may be asked."""
        for runner in self._classifiers:
            refusal = image.refusal(runner.bundle)
            if refusal is not None:
                found = replace(found, not_computed=(*found.not_computed, refusal))
                continue
            answer = run_image(runner, image.input_of(runner.bundle).image, image.patient)
            findings = _findings(runner.bundle, answer)
            maps = tuple(
                _heat_map(runner, image, answer, n) for n, one in enumerate(findings) if heat_maps and one.present
            )
            found = replace(found, findings=found.findings + findings, heat_maps=found.heat_maps + maps)
        return found

    def _measure(self, image: _Image, found: ImageFindings) -> ImageFindings:
        """Return lungs and heart where they are intended for the patient; the gate has used them at any age."""
        bundle, shape, radiograph = self._segmenter.bundle, image.anatomy, image.radiograph
        refusal = image.refusal(bundle)
        if refusal is not None:
            return replace(found, not_computed=(refusal, *found.not_computed))
        notes = found.pixel_notes
        if image.patient.age_years is None:
            notes += (f"age unknown: {intended_use.age_range(bundle.manifest.intended_use)} assumed",)
        return replace(
            found,
            cut_off=anatomy.cut_off(shape, radiograph.valid),
            segments=self._segments(shape, radiograph),
            measurements=measurements(anatomy.measure(shape), radiograph, bundle.identity),
            heart_box=None if shape.heart is None else anatomy.bounding_box(radiograph.to_source(shape.heart)),
            pixel_notes=notes,
        )

    def _segment_lesions(self, image: _Image, found: ImageFindings) -> ImageFindings:
        """Segment the diseases that were found."""
        for runner in self._lesion_segmenters:
            bundle = runner.bundle
            refusal = image.refusal(bundle) or lesion_segmenter.refusal(bundle, found.findings)
            if refusal is not None:
                found = replace(found, not_computed=(*found.not_computed, refusal))
                continue
            done = lesion_segmenter.segment_lesions(
                runner, image.input_of(bundle), image.radiograph, image.anatomy, found.findings
            )
            found = replace(
                found,
                findings=lesion_segmenter.located(found.findings, bundle, done.segments),
                segments=found.segments + done.segments,
                measurements=found.measurements + done.measurements,
                segmentation_empty=found.segmentation_empty + done.segmentation_empty,
            )
        return found

    def anatomy_of(self, segmentation: Segmentation, radiograph: Radiograph) -> Anatomy:
        """Bring the probabilities to the canonical grid, cut them there and clean them."""
        manifest = self._segmenter.bundle.manifest
        masks: dict[str, NDArray[np.bool_] | None] = {}
        for label, probability in zip(manifest.labels, segmentation.probabilities, strict=True):
            threshold = manifest.operating_point(label.name).threshold
            mask = segmentation.model_input.to_canonical(probability) >= threshold
            if radiograph.valid is not None:
                mask &= radiograph.valid
            masks[label.name] = anatomy.clean(mask, keep_largest=label.name == HEART)
        return Anatomy(masks[RIGHT_LUNG], masks[LEFT_LUNG], masks[HEART])

    def lungs_of(self, segmentation: Segmentation, radiograph: Radiograph) -> Box | None:
        """Return the box around both lungs on the canonical grid; None unless both were found."""
        return anatomy.lung_box(self.anatomy_of(segmentation, radiograph))

    def _segments(self, shape: Anatomy, radiograph: Radiograph) -> tuple[Segment, ...]:
        """Return what was found, on the source grid."""
        masks = {RIGHT_LUNG: shape.right_lung, LEFT_LUNG: shape.left_lung, HEART: shape.heart}
        bundle = self._segmenter.bundle
        found = ((label, masks[label.name]) for label in bundle.manifest.labels)
        return tuple(
            _segment(label, radiograph.to_source(mask), bundle.identity) for label, mask in found if mask is not None
        )


class _Row(NamedTuple):
    """One measurement to be: its value on the canonical grid (None: not measurable), and unit with its factor."""

    label: str
    code: Code
    value: float | None
    unit: tuple[Code, float]
    site: Code
    side: Code | None = None
    extents: Extents = ()


def measurements(size: Size, radiograph: Radiograph, bundle: BundleIdentity) -> tuple[Measurement, ...]:
    """Return widths in mm and areas in cm2 where the spacing is known, else in pixels of the canonical grid.

    Without a calibrated spacing lengths are those at the detector, magnified by 5 to 20 percent.
    """
    spacing = radiograph.spacing_mm
    across = (codes.PIXEL, 1.0) if spacing is None else (codes.MILLIMETRE, spacing[1])
    area = lesion_segmenter.area_unit(radiograph)
    ratio = (codes.RATIO, 1.0)
    heart, chest = (_on_source(one, radiograph) for one in (size.cardiac_extent, size.thoracic_extent))
    rows = (
        _Row(
            "cardiothoracic ratio",
            codes.CARDIOTHORACIC_RATIO,
            size.cardiothoracic_ratio,
            ratio,
            codes.HEART,
            extents=heart + chest,
        ),
        _Row("transverse cardiac diameter", codes.WIDTH, size.cardiac_width, across, codes.HEART, extents=heart),
        _Row("transverse thoracic diameter", codes.WIDTH, size.thoracic_width, across, codes.THORAX, extents=chest),
        _Row("right lung area", codes.AREA, size.right_lung_area, area, codes.LUNG, codes.RIGHT),
        _Row("left lung area", codes.AREA, size.left_lung_area, area, codes.LUNG, codes.LEFT),
    )
    return tuple(
        Measurement(
            row.label, row.code, float(row.value) * row.unit[1], row.unit[0], row.site, row.side, bundle, row.extents
        )
        for row in rows
        if row.value is not None
    )


def _on_source(extent: tuple[Point, Point] | None, radiograph: Radiograph) -> Extents:
    """Lay an extent of the canonical grid onto the source image; () where there is none."""
    if extent is None:
        return ()
    first, last = (Point(*radiograph.orientation.point_to_source(*point, radiograph.shape)) for point in extent)
    return ((first, last),)


def _check_segmenter(runner: Runner) -> None:
    """Refuse a segmenter that lacks a label or the gate."""
    manifest = runner.bundle.manifest
    names = tuple(label.name for label in manifest.labels)
    if names != (RIGHT_LUNG, LEFT_LUNG, HEART):
        raise BundleRefused(f"bundle {manifest.name} segments {names}, {(RIGHT_LUNG, LEFT_LUNG, HEART)} was expected")
    if manifest.gate is None or runner.statistics is None:
        raise BundleRefused(f"bundle {manifest.name} has no gate")


def _settings(bundle: Bundle) -> GateSettings:
    """Return the limits of the gate."""
    if bundle.manifest.gate is None:
        raise BundleRefused(f"bundle {bundle.manifest.name} has no gate")
    return bundle.manifest.gate


def _check_thresholds(bundle: Bundle) -> None:
    """Refuse a bundle that cannot decide about one of its labels, or outlines a disease whoever found it."""
    manifest = bundle.manifest
    if manifest.postprocessing is None:
        for label in manifest.labels:
            manifest.operating_point(label.name)
    if manifest.task == "lesion-segmentation" and manifest.gated_by is None:
        raise BundleRefused(f"bundle {manifest.name} names no classifier that must find the disease first")


def _findings(bundle: Bundle, answer: Answer) -> tuple[Finding, ...]:
    """Return what a classifier's answer says of each label."""
    manifest = bundle.manifest
    probabilities = calibrated(answer.logits, manifest.calibration)
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
                bundle=bundle.identity,
                indeterminate_range=point.doubt,
            )
        )
    return tuple(found)


def _heat_map(runner: Runner, image: _Image, answer: Answer, number: int) -> HeatMap:
    """Return the heat map of one label on the source grid."""
    model_input, bundle = image.input_of(runner.bundle), runner.bundle
    values = model_input.to_canonical(heat_map(runner, model_input.image, answer, number, image.patient))
    return HeatMap(bundle.manifest.labels[number].name, bundle.identity, image.radiograph.to_source(values))


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


__all__ = ["ChestAnalyser", "Segmentation", "measurements"]
