"""What is true of the images that a bundle is evaluated on: one function for each public set, and one for any labels.

A truth is a table of cases, made of a collection; evaluators know nothing else of a data set. A missing truth is NaN:
unknown, left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from models.bundle.manifest import Manifest
from models.chest import anatomy
from models.chest.anatomy import Anatomy
from models.image.pixels import Radiograph
from models.values.findings import Box
from models.values.patient import Patient
from training.data import masks
from training.data.collection import SHIPPED, Collection
from training.data.sources import Record
from training.data.splits import Split
from training.evaluation.report.outcome import Table
from training.measures.ages import age_band
from training.measures.places import filled

Mask = NDArray[np.bool_]
# Upper ends of the age bands, in completed years, exclusive.
AGE_BANDS = (6, 16, 40, 60, 80)
PNEUMOTHORAX, LUNG_OPACITY, NO_FINDING = "pneumothorax", "lung-opacity", "no-finding"
EXPERT_NEGATIVES, NIH_NO_FINDING = "SIIM expert negatives", "NIH No Finding"
UNKNOWN_SITE = "unknown site"


@dataclass(frozen=True)
class Case:
    """One image.

    Attributes
    ----------
    truth
        1, 0 or NaN (unknown) by label.
    read
        Decodes the image.
    groups
        Value of each subgroup column.
    age_years, sex, view
        None is unknown.
    site
        The hospital.
    place
        Gives where the finding is, bool (rows, columns) on the image's grid, empty for a negative; None: unknown.
    against
        Comparisons that this case is a negative of; () for all. Positives take part in every comparison.
    reference
        Measured values, by name.
    boxes
        Where the finding is, on the image's grid; () for a negative, None: unknown.
    """

    id: str
    patient: str
    truth: Mapping[str, float]
    read: Callable[[], Radiograph]
    groups: Mapping[str, str]
    age_years: float | None = None
    sex: str | None = None
    view: str | None = None
    site: str = UNKNOWN_SITE
    place: Callable[[], Mask] | None = None
    against: tuple[str, ...] = ()
    reference: Mapping[str, float] = field(default_factory=dict)
    boxes: tuple[Box, ...] | None = None

    @property
    def patient_data(self) -> Patient:
        """Return what a network may be told of the patient."""
        return Patient(self.age_years, self.sex)


@dataclass(frozen=True)
class Truth:
    """The cases of one evaluation.

    Attributes
    ----------
    data_set
        Its short name.
    definition
        One sentence: who says what is positive and what is negative.
    comparisons
        Names of the negative groups, the main one first; () where there is one group of negatives.
    """

    data_set: str
    definition: str
    cases: tuple[Case, ...]
    comparisons: tuple[str, ...] = ()


def paediatric_pneumonia(images: Collection, split: Split) -> Truth:
    """Pneumonia on children's radiographs, as the hospital's graders labelled the folders."""
    sentence = "pneumonia (bacterial or viral) against normal, by the graders of the data set"
    return of_labels(images, split, ("pneumonia",), sentence)


def pneumothorax(images: Collection, split: Split) -> Truth:
    """Pneumothorax as the SIIM-ACR experts saw it; negatives are theirs, and apart from them NIH's No Finding."""
    experts = images.of_set("siim")
    cases: list[Case] = []
    for one in images.ids(split):
        record = images.records[one]
        case = case_of(record, (PNEUMOTHORAX,), PNEUMOTHORAX)
        if one in experts:
            negative = case.truth[PNEUMOTHORAX] == 0
            cases.append(replace(case, against=(EXPERT_NEGATIVES,) if negative else ()))
        elif record.labels.get(NO_FINDING) == 1:
            cases.append(replace(case, against=(NIH_NO_FINDING,)))
    sentence = (
        "pneumothorax marked by the SIIM-ACR experts, against images in which they marked none (few), and separately "
        "against images without expert truth whose report was mined as No Finding"
    )
    return _truth(images, sentence, cases, (EXPERT_NEGATIVES, NIH_NO_FINDING))


def atelectasis(images: Collection, split: Split) -> Truth:
    """Atelectasis as it was mined from the reports, which is noisy."""
    sentence = "Atelectasis as mined from the reports, against all other images; mined labels are noisy"
    return of_labels(images, split, ("atelectasis",), sentence)


def adult_pneumonia(images: Collection, split: Split) -> Truth:
    """Lung opacity as the RSNA radiologists read it; images that they did not read are left out."""
    sentence = (
        "Lung Opacity against Normal and No Lung Opacity / Not Normal, read by radiologists for the RSNA challenge; "
        "images that they did not read are left out"
    )
    return of_labels(images, split, (LUNG_OPACITY,), sentence)


def lungs_heart(images: Collection, split: Split) -> Truth:
    """Masks of both lungs and the heart; images without all three are left out."""
    cases = [_outlined(images.records[one]) for one in images.ids(split)]
    sentence = "outlines of both lungs and the heart as published with each site's images"
    return _truth(images, sentence, [one for one in cases if one is not None])


def of_labels(images: Collection, split: Split, labels: Sequence[str], sentence: str = "") -> Truth:
    """Any labels, each against all images in which it is known to be absent; where of the first one is looked at.

    Raises
    ------
    ValueError
        No image of the split has such a label.
    """
    values = images.labels(images.ids(split), labels)
    known = [one for one, row in zip(images.ids(split), values, strict=True) if not np.isnan(row).all()]
    if not known:
        raise ValueError(f"no image of the split {split} of {images.name} says anything of {', '.join(labels)}")
    cases = [case_of(images.records[one], labels, labels[0]) for one in known]
    return _truth(
        images, sentence or f"{', '.join(labels)} as {' and '.join(one.name for one in images.sets)} say", cases
    )


# By the bundle's name: what is said of the public sets. With other data, the labels themselves are the truth.
TRUTHS: Mapping[str, Callable[[Collection, Split], Truth]] = {
    "paediatric-pneumonia": paediatric_pneumonia,
    "pneumothorax": pneumothorax,
    "pneumothorax-segmentation": pneumothorax,
    "atelectasis": atelectasis,
    "adult-pneumonia": adult_pneumonia,
    "lungs-heart": lungs_heart,
    "heart-box": lungs_heart,
}


def public_set(manifest: Manifest) -> str:
    """Name the public set that a bundle is evaluated on unless another one is asked for."""
    match manifest.task:
        case "volume-segmentation":
            return "atrium"
        case "segmentation" | "box":
            return "ctr"
    return "kermany" if manifest.intended_use.age_years_below is not None else "nih"


def truth_of(manifest: Manifest, images: Collection, split: Split, name: str | None = None) -> Truth:
    """Return the truth of a name, or else that of the bundle: by its name, the beginning of it, its task, its labels.

    Raises
    ------
    ValueError
        The name is none of `TRUTHS`, or nothing is known of the labels.
    """
    if name is not None and name not in TRUTHS:
        raise ValueError(f"no truth is named {name}; known: {', '.join(TRUTHS)}")
    if manifest.task == "volume-segmentation":
        return Truth(images.name, "outline of the left atrium as published with the volumes", ())
    if manifest.task in ("segmentation", "box"):
        return lungs_heart(images, split)
    fitting = [one for one in sorted(TRUTHS, key=len, reverse=True) if f"{manifest.name}-".startswith(f"{one}-")]
    chosen = name or (fitting[0] if fitting and images.name in SHIPPED else None)
    if chosen is not None:
        return TRUTHS[chosen](images, split)
    return of_labels(images, split, tuple(one.name for one in manifest.labels))


def case_of(record: Record, labels: Sequence[str], placed: str) -> Case:
    """Make a case of a record; `placed` is the label whose place is looked at."""
    known = masks.known(record, placed)
    facts = {
        "site": record.site,
        "view": record.view,
        "sex": record.sex,
        "age band": None if record.age_years is None else age_band(record.age_years, AGE_BANDS),
    }
    return Case(
        id=record.id,
        patient=record.patient,
        truth={name: record.labels.get(name, float("nan")) for name in labels},
        read=record.image,
        groups={**{name: value for name, value in facts.items() if value is not None}, **record.groups},
        age_years=record.age_years,
        sex=record.sex,
        view=record.view,
        site=record.site or UNKNOWN_SITE,
        place=partial(_place, record, placed) if known else None,
        boxes=_boxes(record, placed) if known and placed not in record.mask_names else None,
        reference=record.reference,
    )


def _truth(images: Collection, sentence: str, cases: Sequence[Case], comparisons: tuple[str, ...] = ()) -> Truth:
    """Leave out the subgroup columns in which all cases are alike."""
    seen: dict[str, set[str]] = {}
    for case in cases:
        for column, value in case.groups.items():
            seen.setdefault(column, set()).add(value)
    telling = {column for column, values in seen.items() if len(values) > 1}
    kept = (replace(one, groups={k: v for k, v in one.groups.items() if k in telling}) for one in cases)
    return Truth(images.name, sentence, tuple(kept), comparisons)


def _place(record: Record, label: str) -> Mask:
    """Return where a label is: in its mask or its boxes; nowhere in an image without it."""
    if label in record.mask_names and record.mask is not None:
        return record.mask()[record.mask_names.index(label)] > 0
    return filled(_boxes(record, label), record.image().shape)


def _boxes(record: Record, label: str) -> tuple[Box, ...]:
    """Return the boxes of a label in whole pixels."""
    edges = ((one.x0, one.y0, one.x1, one.y1) for one in record.boxes or () if one.label == label)
    return tuple(Box(*(round(edge) for edge in one)) for one in edges)


def _outlined(record: Record) -> Case | None:
    """Make a case of an image with masks of lungs and heart, measured on these unless the owner did; else None."""
    if record.mask is None or not set(masks.ANATOMY) <= set(record.mask_names):
        return None
    reference = dict(record.reference)
    if "ratio" not in reference:
        size = anatomy.measure(Anatomy(*_anatomy(record)))
        ratio = size.cardiothoracic_ratio
        reference = {"ratio": float("nan") if ratio is None else ratio, "ratio by readers": float("nan")}
        if size.heart_box is not None:
            box = size.heart_box
            reference |= {"heart_x0": box.x0, "heart_y0": box.y0, "heart_x1": box.x1, "heart_y1": box.y1}
    return replace(case_of(record, (), ""), place=partial(_anatomy, record), reference=reference)


def _anatomy(record: Record) -> Mask:
    """Return right lung, left lung and heart, bool (3, rows, columns)."""
    return masks.anatomy(record, record.image().shape) > 0


def population(truth: Truth) -> Table:
    """Count the images of each subgroup."""
    columns = sorted({column for case in truth.cases for column in case.groups})
    rows: list[tuple[str, ...]] = []
    for column in columns:
        for value in sorted({case.groups.get(column, "unknown") for case in truth.cases}):
            inside = [case for case in truth.cases if case.groups.get(column, "unknown") == value]
            rows.append((column, value, str(len(inside)), str(len({case.patient for case in inside}))))
    sentence = "Images and patients that were evaluated, by subgroup."
    return Table("Population", sentence, ("column", "value", "images", "patients"), tuple(rows))
