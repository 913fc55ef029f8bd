"""Stored results read again: what an archive holds, back as findings, for pictures and tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, segread
from pydicom import dcmread
from pydicom.dataset import Dataset

from models.values.codes import Code
from models.values.findings import BundleIdentity, Finding, Gate, ImageFindings, Measurement, Point, Segment
from node.dicom.kinds import KINDS, ResultKind
from workers.results.text import vocabulary

_SEGMENTATIONS = frozenset(row.sop_class_uid for row in KINDS[ResultKind.SEG].classes)


def findings_of_segs(paths: Sequence[Path], report: Path | None = None) -> ImageFindings:
    """Return the structures of the SEGs of one image, as this project makes them; masks are bool (rows, columns).

    Parameters
    ----------
    paths
        One SEG for each bundle that outlined something.
    report
        The SR of the same study; with it, findings and measurements too.

    Notes
    -----
    The digest of their bundles is empty: results name an algorithm by name and version.

    Raises
    ------
    ValueError
        An object is no Segmentation of one source image, or they are of several.
    """
    found = [_read(path) for path in paths]
    uids = {uid for _, uid in found}
    if len(uids) != 1:
        raise ValueError(f"the Segmentations are of {len(uids)} images, expected one")
    uid = uids.pop()
    groups = [] if report is None else [group for group in _groups(dcmread(report)) if _refers_to(group, uid)]
    return ImageFindings(
        sop_instance_uid=uid,
        gate=Gate(None, ""),
        segments=tuple(_segment(ds, uid, number) for ds, _ in found for number in ds.segment_numbers if number > 0),
        findings=tuple(_finding(group) for group in groups if _is_finding(group)),
        measurements=tuple(m for group in groups if not _is_finding(group) for m in _measurements(group)),
    )


def source_of_seg(path: Path) -> str:
    """Return the SOP Instance UID of the image that a SEG lies on.

    Raises
    ------
    ValueError
        The object is no Segmentation of one source image.
    """
    return _read(path)[1]


def _read(path: Path) -> tuple[Segmentation, str]:
    ds = segread(path)
    if ds.SOPClassUID not in _SEGMENTATIONS or len(ds.get("SourceImageSequence", ())) != 1:
        raise ValueError(f"{path} is no Segmentation of one source image")
    return ds, str(ds.SourceImageSequence[0].ReferencedSOPInstanceUID)


def _segment(ds: Segmentation, uid: str, number: int) -> Segment:
    # A label map describes its background, too, under number 0.
    item = next(item for item in ds.SegmentSequence if item.SegmentNumber == number)
    kind = item.SegmentedPropertyTypeCodeSequence[0]
    modifiers = kind.get("SegmentedPropertyTypeModifierCodeSequence", ())
    algorithm = item.SegmentationAlgorithmIdentificationSequence[0]
    mask = ds.get_pixels_by_source_instance([uid], segment_numbers=[number])[0, :, :, 0]
    red, green, blue = CIELabColor.from_dicom_value(item.RecommendedDisplayCIELabValue).to_rgb(clip=True)
    return Segment(
        label=str(item.SegmentLabel),
        property_type=_code(kind),
        property_category=_code(item.SegmentedPropertyCategoryCodeSequence[0]),
        laterality=_code(modifiers[0]) if modifiers else None,
        colour_rgb=(red, green, blue),
        mask=mask.astype(bool),
        bundle=BundleIdentity(str(algorithm.AlgorithmName), str(algorithm.AlgorithmVersion), ""),
    )


def _groups(sr: Dataset) -> Iterator[Dataset]:
    """Yield the measurement groups (TID 1501, TID 1410)."""
    for container in _named(sr, vocabulary.IMAGING_MEASUREMENTS):
        yield from _named(container, vocabulary.MEASUREMENT_GROUP)


def _refers_to(group: Dataset, uid: str) -> bool:
    return any(
        reference.ReferencedSOPInstanceUID == uid
        for item in group.ContentSequence
        for reference in item.get("ReferencedSOPSequence", ())
    )


def _is_finding(group: Dataset) -> bool:
    return bool(_named(group, vocabulary.PROBABILITY))


def _finding(group: Dataset) -> Finding:
    (probability,), (threshold,) = (_named(group, code) for code in (vocabulary.PROBABILITY, vocabulary.THRESHOLD))
    rules = _named(group, vocabulary.THRESHOLD_RULE)
    sides = [side for site in _named(group, vocabulary.FINDING_SITE) for side in _named(site, vocabulary.LATERALITY)]
    doubt = [_value(item) for code in (vocabulary.DOUBT_FROM, vocabulary.DOUBT_BELOW) for item in _named(group, code)]
    return Finding(
        label=_label(group),
        code=_code(_named(group, vocabulary.FINDING)[0].ConceptCodeSequence[0]),
        probability=_value(probability),
        threshold=_value(threshold),
        threshold_rule=str(rules[0].TextValue) if rules else "",
        bundle=_bundle(group),
        laterality=_code(sides[0].ConceptCodeSequence[0]) if sides else None,
        indeterminate_range=(doubt[0], doubt[1]) if len(doubt) == 2 else None,
    )


def _measurements(group: Dataset) -> Iterator[Measurement]:
    of_segment = _named(group, vocabulary.REFERENCED_SEGMENT)
    for item in group.ContentSequence:
        if item.ValueType != "NUM":
            continue
        name = _code(item.ConceptNameCodeSequence[0])
        sites = _named(group if of_segment else item, vocabulary.FINDING_SITE)
        sides = _named(sites[0], vocabulary.LATERALITY) if sites else []
        yield Measurement(
            label=f"{_label(group)} {name.meaning.lower()}" if of_segment else _label(group),
            code=name,
            value=_value(item),
            unit=_code(item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0]),
            finding_site=_code(sites[0].ConceptCodeSequence[0]) if sites else None,
            laterality=_code(sides[0].ConceptCodeSequence[0]) if sides else None,
            bundle=_bundle(group),
            extents=tuple(_extent(i) for i in item.get("ContentSequence", ()) if i.ValueType == "SCOORD"),
        )


def _extent(item: Dataset) -> tuple[Point, Point]:
    column_1, row_1, column_2, row_2 = map(float, item.GraphicData)
    return Point(row_1, column_1), Point(row_2, column_2)


def _named(ds: Dataset, name: Code) -> list[Dataset]:
    return [i for i in ds.get("ContentSequence", ()) if i.ConceptNameCodeSequence[0].get("CodeValue") == name.value]


def _label(group: Dataset) -> str:
    """Return what the Tracking Identifier says before the name of the image."""
    return str(_named(group, vocabulary.TRACKING_IDENTIFIER)[0].TextValue).rpartition(", ")[0]


def _bundle(group: Dataset) -> BundleIdentity:
    names, versions = (_named(group, code) for code in (vocabulary.ALGORITHM_NAME, vocabulary.ALGORITHM_VERSION))
    return BundleIdentity(str(names[0].TextValue), str(versions[0].TextValue), "")


def _value(item: Dataset) -> float:
    return float(item.MeasuredValueSequence[0].NumericValue)


def _code(item: Dataset) -> Code:
    return Code(str(item.CodeValue), str(item.CodingSchemeDesignator), str(item.CodeMeaning))
