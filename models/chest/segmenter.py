"""Segmentation of a disease: asked for where a classifier found it, laid onto the source grid, and measured.

A classifier decides whether there is anything; the mask only says where (the gate of the mask).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.bundle.calibration import calibrated
from models.bundle.manifest import Label, Manifest
from models.bundle.store import Bundle
from models.chest import laterality
from models.chest.anatomy import Anatomy, Mask
from models.chest.lesions import lesion
from models.image.inputs import ModelInput
from models.image.pixels import Radiograph
from models.inference.runner import Network, run_image
from models.values import catalogue, codes
from models.values.codes import Code
from models.values.findings import (
    BundleIdentity,
    Finding,
    Measurement,
    NotComputed,
    NotComputedReason,
    Segment,
    SegmentationEmpty,
)

COLOUR_RGB = (235, 80, 225)
"""Of a disease whose manifest gives none: unlike lungs, heart and diameters."""


@dataclass(frozen=True)
class LesionSegmentation:
    """The regions that one bundle found in one image, and where it found none."""

    segments: tuple[Segment, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    segmentation_empty: tuple[SegmentationEmpty, ...] = ()


def refusal(bundle: Bundle, findings: Sequence[Finding]) -> NotComputed | None:
    """Return why there is nothing to outline, or None: its classifier was not run on the image, or found nothing."""
    manifest = bundle.manifest
    answers = [finding for label in manifest.labels if (finding := _answer(manifest, label, findings)) is not None]
    if not answers:
        detail = f"{manifest.gated_by}, which decides whether there is anything to outline, gave no answer"
        return NotComputed(bundle.identity, manifest.name, NotComputedReason.CLASSIFIER_NOT_RUN, detail)
    if any(finding.present for finding in answers):
        return None
    detail = f"absent by the classifier {manifest.gated_by}: {', '.join(one.label for one in answers)}"
    return NotComputed(bundle.identity, manifest.name, NotComputedReason.NOT_FOUND_BY_CLASSIFIER, detail)


def segment_lesions(
    network: Network, model_input: ModelInput, radiograph: Radiograph, anatomy: Anatomy, findings: Sequence[Finding]
) -> LesionSegmentation:
    """Segment every disease of a bundle that its classifier found.

    Parameters
    ----------
    model_input
        Of the network.
    anatomy
        Lungs on the canonical grid, for side and part of the lung.
    findings
        Of the same image.
    """
    manifest, identity = network.bundle.manifest, network.bundle.identity
    probabilities = calibrated(run_image(network, model_input.image).logits, manifest.calibration).astype(np.float32)
    done = LesionSegmentation()
    for label, probability in zip(manifest.labels, probabilities, strict=True):
        answer = _answer(manifest, label, findings)
        if answer is None or not answer.present:
            continue
        mask = _on_canonical(region(probability, manifest, label), model_input, radiograph)
        if not mask.any():
            missing = SegmentationEmpty(identity, label.name, label.code.to_code(), _limits(manifest, label))
            done = replace(done, segmentation_empty=(*done.segmentation_empty, missing))
            continue
        side = laterality.side_of(mask, anatomy)
        segment = _segment(label, radiograph.to_source(mask), side, identity)
        rows = measurements(mask, label, radiograph, anatomy, side=side, bundle=identity)
        done = replace(done, segments=(*done.segments, segment), measurements=(*done.measurements, *rows))
    return done


def located(findings: Sequence[Finding], bundle: Bundle, segments: Sequence[Segment]) -> tuple[Finding, ...]:
    """Return the findings; those of the bundle's classifier that were outlined get the side of the outline."""
    sides = [(segment.property_type, segment.laterality) for segment in segments]

    def side(finding: Finding) -> Code | None:
        return next((side for kind, side in sides if kind.names(finding.code)), None)

    mine = bundle.manifest.gated_by
    return tuple(replace(one, laterality=side(one)) if one.bundle.name == mine else one for one in findings)


def region(probability: NDArray[np.float32], manifest: Manifest, label: Label) -> Mask:
    """Cut probabilities (size, size) of the model grid; an empty mask is no lesion."""
    limits = manifest.postprocessing
    if limits is None:
        return np.asarray(probability >= manifest.operating_point(label.name).threshold)
    return lesion(probability, limits)


def measurements(
    mask: Mask, label: Label, radiograph: Radiograph, anatomy: Anatomy, *, side: Code | None, bundle: BundleIdentity
) -> tuple[Measurement, ...]:
    """Return the area, in cm2 where the spacing is known, else in pixels, and the part of the lung of its side."""
    code = label.code.to_code()
    site = catalogue.site_of(code) or code
    unit, factor = area_unit(radiograph)
    area = Measurement(f"{label.name} area", codes.AREA, float(mask.sum()) * factor, unit, site, side, bundle)
    part = None if side is None else laterality.part_of_lung(mask, side, anatomy)
    if side is None or part is None:
        return (area,)
    lung = "both lungs" if side == codes.BILATERAL else f"the {side.meaning.lower()} lung"
    name = f"{label.name}, part of {lung}"
    return area, Measurement(name, codes.PART_OF_LUNG, 100 * part, codes.PERCENT, site, side, bundle)


def area_unit(radiograph: Radiograph) -> tuple[Code, float]:
    """Return the unit of areas and its size for one pixel of the canonical grid."""
    if radiograph.spacing_mm is None:
        return codes.SQUARE_PIXEL, 1.0
    return codes.SQUARE_CENTIMETRE, radiograph.spacing_mm[0] * radiograph.spacing_mm[1] / 100


def _answer(manifest: Manifest, label: Label, findings: Sequence[Finding]) -> Finding | None:
    """Return what the bundle's classifier says about a label."""
    code = label.code.to_code()
    return next((one for one in findings if one.bundle.name == manifest.gated_by and one.code.names(code)), None)


def _on_canonical(mask: Mask, model_input: ModelInput, radiograph: Radiograph) -> Mask:
    """Bring a mask of the model grid to the canonical grid, without what the detector did not see."""
    whole = model_input.to_canonical(mask.astype(np.float32)) >= 0.5
    return np.asarray(whole if radiograph.valid is None else whole & radiograph.valid)


def _limits(manifest: Manifest, label: Label) -> str:
    """Say what a region would have needed."""
    limits = manifest.postprocessing
    if limits is None:
        return f"no place reaches the threshold {manifest.operating_point(label.name).threshold:.3g}"
    return f"less than {limits.minimum_area:.2%} of the picture is above {limits.top_threshold:.3g}"


def _segment(label: Label, mask: Mask, side: Code | None, bundle: BundleIdentity) -> Segment:
    """Make the segment of a disease."""
    return Segment(
        label=label.name,
        property_type=label.code.to_code(),
        property_category=codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE,
        laterality=side,
        colour_rgb=label.colour_rgb or COLOUR_RGB,
        mask=mask,
        bundle=bundle,
    )
