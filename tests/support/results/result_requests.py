"""Result requests for the synthetic sources: findings, three segments, measurements."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from models.values import codes
from models.values.findings import (
    Box,
    BundleIdentity,
    Edge,
    Finding,
    Gate,
    ImageFindings,
    Measurement,
    NotComputed,
    NotComputedReason,
    Point,
    Segment,
    SegmentationEmpty,
)
from tests.support.data.sources import STUDY, read_sources
from workers.results.request import DeclinedImage, ResultRequest, UseStatement

PNEUMONIA = BundleIdentity("pneumonia", "1.2.0", "a1" * 32)
LUNGS = BundleIdentity("lungs-heart", "2.0.1", "b2" * 32)
CLASSIFIER = BundleIdentity("pneumothorax", "1.0.0", "e5" * 32)
OUTLINE = BundleIdentity("pneumothorax-segmentation", "1.0.0", "f6" * 32)
SITE_OUTLINE = replace(OUTLINE, digest="07" * 32, shipped_digest=OUTLINE.digest)
CREATED = datetime(2026, 1, 10, 8, 16, 30, 123456, tzinfo=UTC)


def image(uid: str, rows: int = 96, columns: int = 80) -> ImageFindings:
    """Return findings on a grid: two lungs and a heart that overlaps the left one."""
    heart = (Point(int(rows * 0.6) + 0.5, int(columns * 0.4)), Point(int(rows * 0.7) + 0.5, int(columns * 0.7)))
    chest = (Point(int(rows * 0.5) + 0.5, int(columns * 0.1)), Point(int(rows * 0.5) + 0.5, int(columns * 0.9)))
    return ImageFindings(
        sop_instance_uid=uid,
        gate=Gate(None, "Frontal chest radiograph with two lungs."),
        findings=(
            Finding("Pneumonia", codes.PNEUMONIA, 0.8125, 0.5, "sensitivity 0.95 on the validation split", PNEUMONIA),
            Finding("Atelectasis", codes.ATELECTASIS, 0.125, 0.4, "Youden index on the validation split", PNEUMONIA),
        ),
        segments=(
            _segment("Right lung", codes.LUNG, codes.RIGHT, (80, 160, 240), _box(rows, columns, 0.2, 0.8, 0.1, 0.4)),
            _segment("Left lung", codes.LUNG, codes.LEFT, (90, 200, 120), _box(rows, columns, 0.2, 0.8, 0.6, 0.9)),
            _segment("Heart", codes.HEART, None, (230, 90, 90), _box(rows, columns, 0.5, 0.8, 0.4, 0.7)),
        ),
        measurements=(
            Measurement(
                "Cardiothoracic ratio",
                codes.CARDIOTHORACIC_RATIO,
                0.47,
                codes.RATIO,
                codes.HEART,
                None,
                LUNGS,
                (heart, chest),
            ),
            Measurement("Cardiac diameter", codes.WIDTH, 121.5, codes.MILLIMETRE, codes.HEART, None, LUNGS, (heart,)),
            Measurement(
                "Thoracic diameter", codes.WIDTH, 258.25, codes.MILLIMETRE, codes.THORAX, None, LUNGS, (chest,)
            ),
            Measurement("Right lung area", codes.AREA, 201.25, codes.SQUARE_CENTIMETRE, codes.LUNG, codes.RIGHT, LUNGS),
            Measurement("Left lung area", codes.AREA, 180.5, codes.SQUARE_CENTIMETRE, codes.LUNG, codes.LEFT, LUNGS),
        ),
        heart_box=Box(int(columns * 0.4), int(rows * 0.5), int(columns * 0.7), int(rows * 0.8)),
        not_computed=(
            NotComputed(
                BundleIdentity("paediatric-pneumonia", "1.0.0", "c3" * 32),
                "Pneumonia (paediatric)",
                NotComputedReason.AGE_OUTSIDE_INTENDED_USE,
                "The patient is older than 5 years.",
            ),
        ),
        pixel_notes=("Inverted: MONOCHROME1.",),
        cut_off=(),
    )


def request(sources: tuple[Path, ...], images: tuple[ImageFindings, ...], *declined: DeclinedImage) -> ResultRequest:
    """Return revision 1 of the study."""
    return ResultRequest(
        study_instance_uid=STUDY,
        sources=read_sources(sources),
        images=images,
        declined=declined,
        bundles=(PNEUMONIA, LUNGS) if images else (),
        configuration_digest="d4" * 32,
        revision=1,
        created_at=CREATED,
        intended_use=(UseStatement("pneumonia", "Research on adults, frontal view.", 16.0, None, ("PA", "AP")),)
        if images
        else (),
    )


def paths_of(of: ResultRequest) -> tuple[Path, ...]:
    """Return the files that a request was made of."""
    return tuple(source.path for source in of.sources if source.path is not None)


def diseases(sources: tuple[Path, ...], *images: ImageFindings) -> ResultRequest:
    """Return a request in which the pneumothorax bundles ran, too."""
    made = request(sources, images)
    return replace(made, bundles=(*made.bundles, CLASSIFIER, OUTLINE))


def with_pneumothorax(of: ImageFindings, side: codes.Code | None) -> ImageFindings:
    """Return the findings with a pneumothorax that was found and outlined."""
    mask = np.zeros_like(of.segments[0].mask)
    rows, columns = mask.shape
    mask[int(rows * 0.2) : int(rows * 0.3), int(columns * 0.65) : int(columns * 0.9)] = True
    abnormal, lung = (
        codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE,
        "both lungs" if side == codes.BILATERAL else "the left lung",
    )
    segment = Segment("pneumothorax", codes.PNEUMOTHORAX, abnormal, side, (235, 80, 225), mask, OUTLINE)
    rows_of_numbers = (
        ("pneumothorax area", codes.AREA, 14.5, codes.SQUARE_CENTIMETRE),
        (f"pneumothorax, part of {lung}", codes.PART_OF_LUNG, 8.25, codes.PERCENT),
    )
    measurements = tuple(
        Measurement(label, code, value, unit, codes.PLEURA, side, OUTLINE)
        for label, code, value, unit in rows_of_numbers
    )
    return replace(
        of,
        findings=(*of.findings, _pneumothorax(side)),
        segments=(*of.segments, segment),
        measurements=of.measurements + measurements,
    )


def with_doubt(of: ImageFindings) -> ImageFindings:
    """Return the findings with a pneumothorax whose threshold is uncertain, and lungs at an edge."""
    rule = "highest threshold with sensitivity at least 0.93 on the validation split"
    doubtful = Finding("pneumothorax", codes.PNEUMOTHORAX, 0.207, 0.2, rule, CLASSIFIER, None, (0.17, 0.24))
    return replace(of, findings=(*of.findings, doubtful), cut_off=(Edge.BOTTOM,))


def with_pneumothorax_not_outlined(of: ImageFindings) -> ImageFindings:
    """Return the findings with a pneumothorax of which no region was found."""
    detail = "less than 0.50% of the picture is above 0.7"
    missing = SegmentationEmpty(OUTLINE, "pneumothorax", codes.PNEUMOTHORAX, detail)
    return replace(of, findings=(*of.findings, _pneumothorax(None)), segmentation_empty=(missing,))


def with_outline_not_computed(of: ImageFindings, reason: NotComputedReason) -> ImageFindings:
    """Return the findings of an image that the outline's classifier kept it from."""
    item = NotComputed(
        OUTLINE, "pneumothorax-segmentation", reason, "absent by the classifier pneumothorax: pneumothorax"
    )
    return replace(of, not_computed=(*of.not_computed, item))


def with_site_thresholds(of: ResultRequest) -> ResultRequest:
    """Return the request as of a site that has set a threshold of its own for the outline."""

    def mine(bundle: BundleIdentity) -> BundleIdentity:
        return SITE_OUTLINE if bundle == OUTLINE else bundle

    images = tuple(
        replace(
            image,
            segments=tuple(replace(one, bundle=mine(one.bundle)) for one in image.segments),
            measurements=tuple(replace(one, bundle=mine(one.bundle)) for one in image.measurements),
        )
        for image in of.images
    )
    bundles = tuple(mine(bundle) for bundle in of.bundles)
    return replace(of, images=images, bundles=bundles, configuration_digest="18" * 32)


def refused(uid: str) -> ImageFindings:
    """Return what the gate says of an image that is no chest."""
    return ImageFindings(uid, Gate(NotComputedReason.NOT_A_CHEST, "Score 0.02, at least 0.5 expected."))


def without_segments(of: ImageFindings) -> ImageFindings:
    """Return the findings without masks."""
    return replace(of, segments=(), measurements=())


def _pneumothorax(side: codes.Code | None) -> Finding:
    rule = "sensitivity 0.90 on the validation split"
    return Finding("pneumothorax", codes.PNEUMOTHORAX, 0.91, 0.42, rule, CLASSIFIER, laterality=side)


def _box(rows: int, columns: int, *edges: float) -> np.ndarray:
    top, bottom, left, right = edges
    mask = np.zeros((rows, columns), dtype=np.bool_)
    mask[int(rows * top) : int(rows * bottom), int(columns * left) : int(columns * right)] = True
    return mask


def _segment(
    label: str, kind: codes.Code, laterality: codes.Code | None, colour: tuple[int, int, int], mask: np.ndarray
) -> Segment:
    return Segment(label, kind, codes.ANATOMICAL_STRUCTURE, laterality, colour, mask, LUNGS)
