"""What is true of the images that a bundle is evaluated on: one function for each bundle.

A truth is a table of cases; evaluators know nothing else of a data set. A missing truth is NaN: unknown, left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models import pixels
from models.bundle import Manifest, Task
from models.findings import Box
from models.pixels import Radiograph
from training import findings, splits
from training.evaluation import places
from training.evaluation.outcome import Table
from training.findings import LUNG_OPACITY, NO_FINDING, PNEUMOTHORAX
from training.splits import Split

Mask = NDArray[np.bool_]
# Upper ends of the age bands, in completed years, exclusive.
AGE_BANDS = (6, 16, 40, 60, 80)
EXPERT_NEGATIVES, NIH_NO_FINDING = "SIIM expert negatives", "NIH No Finding"
NIH_EDGE = 512
"""Edge of the pictures in nih/images."""
BOXES_ON = 1024
"""Edge of the picture that the boxes of nih/table.csv are given on."""


@dataclass(frozen=True)
class Case:
    """One image.

    Attributes
    ----------
    truth : 1, 0 or NaN (unknown) by label.
    read : decodes the image.
    groups : value of each subgroup column.
    age_years, view : None is unknown.
    place : gives where the finding is, bool (rows, columns) on the image's grid, empty for a negative; None: unknown.
    against : comparisons that this case is a negative of; () for all. Positives take part in every comparison.
    reference : measured values of the data set, by name.
    boxes : where the finding is, on the image's grid; () for a negative, None: unknown.
    """

    id: str
    patient: str
    truth: Mapping[str, float]
    read: Callable[[], Radiograph]
    groups: Mapping[str, str]
    age_years: float | None = None
    view: str | None = None
    place: Callable[[], Mask] | None = None
    against: tuple[str, ...] = ()
    reference: Mapping[str, float] | None = None
    boxes: tuple[Box, ...] | None = None


@dataclass(frozen=True)
class Truth:
    """The cases of one evaluation.

    Attributes
    ----------
    data_set : its short name.
    definition : one sentence: who says what is positive and what is negative.
    comparisons : names of the negative groups, the main one first; () where there is one group of negatives.
    """

    data_set: str
    definition: str
    cases: tuple[Case, ...]
    comparisons: tuple[str, ...] = ()


def paediatric_pneumonia(data: Path, split: Split) -> Truth:
    """Pneumonia on children's radiographs, as the hospital's graders labelled the folders."""
    ids = set(splits.read("kermany", split))
    cases = tuple(
        Case(
            id=row["id"],
            patient=row["patient"],
            truth={"pneumonia": float(row["pneumonia"])},
            # The files are squashed to a square; the original had square pixels.
            read=partial(
                read_picture,
                data / "kermany" / "images" / f"{row['id']}.jpg",
                aspect=float(row["original_height"]) / float(row["original_width"]),
            ),
            groups={"subtype": row["subtype"]},
        )
        for row in splits.read_table(data, "kermany")
        if row["id"] in ids
    )
    return Truth("kermany", "pneumonia (bacterial or viral) against normal, by the graders of the data set", cases)


def pneumothorax(data: Path, split: Split) -> Truth:
    """Pneumothorax as the SIIM-ACR experts saw it; negatives are theirs, and apart from them NIH's No Finding."""
    cases: list[Case] = []
    against: tuple[str, ...]
    for row in _nih_rows(data, split):
        if row["siim_positive"]:
            value = float(row["siim_positive"])
            against = () if value == 1 else (EXPERT_NEGATIVES,)
        elif row["findings"] == findings.TEXT_MINED[NO_FINDING]:
            value, against = 0.0, (NIH_NO_FINDING,)
        else:
            continue
        cases.append(_nih_case(data, row, {PNEUMOTHORAX: value}, place=_pneumothorax_place(data, row), against=against))
    sentence = (
        "pneumothorax marked by the SIIM-ACR experts, against images in which they marked none (few), and separately "
        "against images without expert truth whose report was mined as No Finding"
    )
    return Truth("nih", sentence, tuple(cases), (EXPERT_NEGATIVES, NIH_NO_FINDING))


def atelectasis(data: Path, split: Split) -> Truth:
    """Atelectasis as it was mined from the reports, which is noisy."""
    cases = tuple(
        _nih_case(data, row, {"atelectasis": findings.value(row, "atelectasis")}) for row in _nih_rows(data, split)
    )
    return Truth(
        "nih", "Atelectasis as mined from the reports, against all other images; mined labels are noisy", cases
    )


def adult_pneumonia(data: Path, split: Split) -> Truth:
    """Lung opacity as the RSNA radiologists read it; images that they did not read are left out."""
    cases = tuple(
        # The bundle's label is the disease that the opacity makes one think of.
        _nih_case(
            data,
            row,
            dict.fromkeys((LUNG_OPACITY, "pneumonia"), findings.value(row, LUNG_OPACITY)),
            boxes=tuple(boxes_of(row["rsna_boxes_xywh_1024"], NIH_EDGE)),
        )
        for row in _nih_rows(data, split)
        if row["rsna_class"]
    )
    sentence = (
        "Lung Opacity against Normal and No Lung Opacity / Not Normal, read by radiologists for the RSNA challenge; "
        "images that they did not read are left out"
    )
    return Truth("nih", sentence, cases)


def lungs_heart(data: Path, split: Split) -> Truth:
    """Masks of both lungs and the heart at two sites."""
    ids = set(splits.read("ctr", split))
    cases = tuple(
        Case(
            id=row["id"],
            patient=row["patient"],
            truth={},
            read=partial(read_picture, data / "ctr" / "images" / f"{row['id']}.jpg"),
            groups={"site": row["site"]},
            place=partial(_anatomy, data / "ctr" / "masks" / f"{row['id']}.png"),
            reference=_reference(row),
        )
        for row in splits.read_table(data, "ctr")
        if row["id"] in ids
    )
    return Truth("ctr", "outlines of both lungs and the heart as published with each site's images", cases)


def nih_findings(labels: tuple[str, ...], data: Path, split: Split) -> Truth:
    """Any labels of training/findings.py, each against all images in which it is known to be absent."""
    cases = tuple(
        _nih_case(data, row, {name: findings.value(row, name) for name in labels}) for row in _nih_rows(data, split)
    )
    return Truth("nih", "experts' labels where there are any, else findings mined from the reports", cases)


TRUTHS: Mapping[str, Callable[[Path, Split], Truth]] = {
    "paediatric-pneumonia": paediatric_pneumonia,
    "pneumothorax": pneumothorax,
    "pneumothorax-segmentation": pneumothorax,
    "atelectasis": atelectasis,
    "adult-pneumonia": adult_pneumonia,
    "lungs-heart": lungs_heart,
    "heart-box": lungs_heart,
}


# For bundles that are no one's own: experiments beside the shipped ones.
BY_TASK: Mapping[Task, str] = {"segmentation": "lungs-heart", "box": "heart-box", "detection": "adult-pneumonia"}


def truth_of(manifest: Manifest, data: Path, split: Split, name: str | None = None) -> Truth:
    """Give the truth of a name, or else that of the bundle: by its name, the beginning of it, its task, its labels.

    Raises
    ------
    ValueError
        Nothing is known about any of these.
    """
    known = sorted(TRUTHS, key=len, reverse=True)
    wanted = name or next((one for one in known if f"{manifest.name}-".startswith(f"{one}-")), None)
    wanted = wanted or BY_TASK.get(manifest.task, "")
    if wanted in TRUTHS:
        return TRUTHS[wanted](data, split)
    labels = tuple(one.name for one in manifest.labels)
    if name is None and all(label in (*findings.TEXT_MINED, *findings.LOCATED) for label in labels):
        return nih_findings(labels, data, split)
    asked = f"{name or manifest.name} with the labels {', '.join(labels)}"
    raise ValueError(f"no truth is defined for {asked}; known: {', '.join(TRUTHS)}")


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


def age_band(age_years: float) -> str:
    """Name the band of an age."""
    low = 0
    for high in AGE_BANDS:
        if age_years < high:
            return f"{low:02d} to {high - 1}"
        low = high
    return f"{low} and older"


def read_picture(path: Path, aspect: float = 1.0) -> Radiograph:
    """Read a picture file as a radiograph; `aspect` is the height of a pixel over its width."""
    with Image.open(path) as image:
        return pixels.from_array(np.asarray(image.convert("L")), aspect=aspect)


def read_bits(path: Path) -> NDArray[np.uint8]:
    """Read a PNG whose grey values are bit fields."""
    with Image.open(path) as image:
        return np.asarray(image).astype(np.uint8)


def boxes_of(text: str, edge: int) -> list[Box]:
    """Read boxes "x,y,width,height;..." given on a picture of 1024 x 1024 for one of another edge."""
    found: list[Box] = []
    for one in filter(None, text.split(";")):
        x, y, width, height = (float(part) * edge / BOXES_ON for part in one.split(","))
        found.append(Box(round(x), round(y), round(x + width), round(y + height)))
    return found


def _nih_rows(data: Path, split: Split) -> list[dict[str, str]]:
    """Read one split of the table."""
    ids = set(splits.read("nih", split))
    return [row for row in splits.read_table(data, "nih") if row["id"] in ids]


def _nih_case(
    data: Path,
    row: Mapping[str, str],
    truth: Mapping[str, float],
    *,
    place: Callable[[], Mask] | None = None,
    against: tuple[str, ...] = (),
    boxes: tuple[Box, ...] | None = None,
) -> Case:
    """Make a case with the subgroups that the table knows."""
    age = float(row["age"])
    return Case(
        id=row["id"],
        patient=row["patient"],
        truth=truth,
        read=partial(read_picture, data / "nih" / "images" / f"{row['id']}.jpg"),
        groups={
            "view": row["view"],
            "sex": row["sex"],
            "age band": age_band(age),
            "image of the patient": "first" if row["follow_up"] == "0" else "later",
            "source file": row["source_form"],
        },
        age_years=age,
        view=row["view"],
        place=place if boxes is None else partial(places.filled, boxes, (NIH_EDGE, NIH_EDGE)),
        against=against,
        boxes=boxes,
    )


def _pneumothorax_place(data: Path, row: Mapping[str, str]) -> Callable[[], Mask] | None:
    """Give the experts' mask; an image without a pneumothorax has an empty one."""
    path = data / "nih" / "pneumothorax" / f"{row['id']}.png"
    if row["pneumothorax_mask"] == "1":
        return lambda: read_bits(path) > 0
    return None if row["siim_positive"] == "1" else lambda: np.zeros((NIH_EDGE, NIH_EDGE), np.bool_)


def _anatomy(path: Path) -> Mask:
    """Give right lung, left lung and heart, bool (3, rows, columns)."""
    stored = read_bits(path)
    return np.stack([stored & bit > 0 for bit in (1, 2, 4)])


def _reference(row: Mapping[str, str]) -> dict[str, float]:
    """Give cardiothoracic ratio and heart box of a row of ctr; NaN where no reader gave one."""
    edges = {f"heart_{edge}": float(row[f"heart_{edge}"]) for edge in ("x0", "y0", "x1", "y1")}
    readers = float(row["ctr_given"]) if row["ctr_given"] else float("nan")
    return {"ratio": float(row["ctr_from_masks"]), "ratio by readers": readers, **edges}
