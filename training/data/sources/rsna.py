"""RSNA pneumonia detection challenge 2018: DICOM, radiologists' classes and boxes.

Owner's layout: `stage_2_train_images/*.dcm`, `stage_2_train_labels.csv` (a row a box), and
`stage_2_detailed_class_info.csv`. The owner's "patientId" names an image; which images are of one person tells only
`pneumonia-challenge-dataset-mappings_2018.json` (RSNA's page of the challenge), read where it lies beside them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from training.data import terms
from training.data.sources import files, nih
from training.data.sources.record import UNKNOWN, DataSet, Kind, LabelledBox, Problems, Record, SourceRefused, finished

NAME = "rsna"
TERMS = terms.LICENCE["rsna"]
LABELS = "stage_2_train_labels.csv"
CLASSES = "stage_2_detailed_class_info.csv"
IMAGES = "stage_2_train_images"
MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"
PUBLISHED_IMAGES = 26_684
SIZE = (1024, 1024)
OPACITY, NORMAL, OTHER = "Lung Opacity", "Normal", "No Lung Opacity / Not Normal"
LABEL = "lung-opacity"
NOTES = (
    "lung-opacity is what radiologists took for possible pneumonia without the patient's history; not-normal is "
    "abnormal without such an opacity",
    "the images are those of NIH ChestX-ray14: split by NIH's patients when both sets are used",
)
NO_MAPPING = (
    f"{MAPPING} is not there, so each image counts as a patient of its own although NIH's patients have several: "
    "fetch it from RSNA's page of the challenge before you split",
)


def read(folder: Path) -> DataSet:
    """Read the owner's layout, or the part of DATA.md's nih/ that radiologists read.

    Raises
    ------
    SourceRefused
        Neither is there, or nothing could be found.
    """
    problems = Problems()
    place = files.table_of(folder, "nih")
    if place:
        return finished(NAME, TERMS, _from_table(place, problems), problems, notes=NOTES)
    if not (folder / LABELS).is_file():
        raise SourceRefused(f"{folder} holds neither table.csv nor {LABELS}; fetch it from the challenge")
    boxes, targets = _boxes(folder / LABELS, problems)
    classes = _classes(folder / CLASSES, problems)
    persons = _persons(folder / MAPPING)
    images = files.found(folder / IMAGES, ("*.dcm",))
    records = []
    for name in targets:
        path = images.get(f"{name}.dcm")
        if path is None:
            problems.add(Kind.MISSING, name, f"{LABELS} names this image, but there is no {name}.dcm")
            continue
        labels = _labels(name, targets[name], classes.get(name), problems)
        record = None if labels is None else _record(name, path, labels, boxes[name], problems)
        if record is not None:
            records.append(_of(record, persons.get(name)))
    files.unlisted(images, {f"{name}.dcm" for name in boxes}, problems)
    notes = NOTES + files.published(len(records), PUBLISHED_IMAGES, "images") + (() if persons else NO_MAPPING)
    return finished(NAME, TERMS, records, problems, notes=notes)


def _boxes(table: Path, problems: Problems) -> tuple[dict[str, tuple[LabelledBox, ...]], dict[str, bool]]:
    """Return the boxes of each image, and the target of those whose rows are well formed and agree."""
    boxes: dict[str, list[LabelledBox]] = defaultdict(list)
    targets: dict[str, bool] = {}
    wrong: set[str] = set()
    for row in files.rows(table, ("patientId", "x", "y", "width", "height", "Target")):
        name, numbers = row["patientId"], (row["x"], row["y"], row["width"], row["height"])
        box = nih.box_of(LABEL, numbers, SIZE)
        fits = {"1": box is not None, "0": not any(numbers)}.get(row["Target"], False)
        positive = row["Target"] == "1"
        agrees = targets.setdefault(name, positive) == positive
        if not fits or not agrees:
            problems.add(Kind.LABEL, name, f"Target {row['Target']!r} with box {numbers}; left out")
            wrong.add(name)
        elif box is not None:
            boxes[name].append(box)
    return {name: tuple(boxes[name]) for name in targets}, {
        name: positive for name, positive in targets.items() if name not in wrong
    }


def _classes(table: Path, problems: Problems) -> dict[str, str]:
    """Return the class of each image; without the table classes are unknown."""
    if not table.is_file():
        problems.add(Kind.MISSING, table, "without it normal and not normal are not told apart")
        return {}
    given: dict[str, str] = {}
    for row in files.rows(table, ("patientId", "class")):
        if (
            row["class"] not in (OPACITY, NORMAL, OTHER)
            or given.setdefault(row["patientId"], row["class"]) != (row["class"])
        ):
            problems.add(Kind.LABEL, row["patientId"], f"class {row['class']!r} is unknown or contradicts another row")
    return given


def _persons(mapping: Path) -> dict[str, str]:
    """Return NIH's patient of each image from RSNA's mapping; {} when it is not there."""
    if not mapping.is_file():
        return {}
    try:
        return {one["subset_img_id"]: one["img_id"].split("_")[0] for one in json.loads(mapping.read_text())}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceRefused(f"{mapping} is not RSNA's mapping (subset_img_id, img_id): {error!r}") from error


def _labels(name: str, target: bool, written: str | None, problems: Problems) -> dict[str, float] | None:
    """Return the labels of an image; None when target and class contradict each other."""
    if written is None:
        return {LABEL: float(target), "normal": 0.0 if target else UNKNOWN, "not-normal": 0.0 if target else UNKNOWN}
    if (written == OPACITY) != target:
        problems.add(Kind.LABEL, name, f"Target {int(target)}, but class {written!r}; left out")
        return None
    return {LABEL: float(target), "normal": float(written == NORMAL), "not-normal": float(written == OTHER)}


def _record(
    name: str, path: Path, labels: dict[str, float], boxes: tuple[LabelledBox, ...], problems: Problems
) -> Record | None:
    """Make the record of one image; None when its header cannot be read."""
    ds = files.header(path, problems)
    if ds is None:
        return None
    shape = (int(ds.get("Rows") or 0), int(ds.get("Columns") or 0))
    if shape != SIZE:
        problems.add(Kind.SIZE, path, f"{shape[0]} x {shape[1]}, 1024 x 1024 was expected; its boxes are left out")
    return Record(
        id=name,
        patient=name,
        path=path,
        image=files.dicom(path),
        labels=labels,
        boxes=boxes if shape == SIZE else None,
        view=files.view(files.text(ds, "ViewPosition"), name, problems),
        sex=files.sex(files.text(ds, "PatientSex"), name, problems),
        age_years=files.age(files.text(ds, "PatientAge"), name, problems),
        site="nih",
    )


def _of(record: Record, person: str | None) -> Record:
    """Return the record its person, where the mapping names one."""
    return record if person is None else replace(record, patient=person)


def _from_table(folder: Path, problems: Problems) -> list[Record]:
    """Read the layout of DATA.md: `rsna_class`, boxes on the 1024 grid."""
    records = []
    for row, path, shape in nih.listed_images(folder, problems):
        written = row["rsna_class"]
        if not written:
            continue
        if written not in (OPACITY, NORMAL, OTHER):
            problems.add(Kind.LABEL, row["id"], f"rsna_class {written!r} is unknown; left out")
            continue
        parts = [(LABEL, part) for part in filter(None, row["rsna_boxes_xywh_1024"].split(";"))]
        boxes = nih.scaled_boxes(parts, row["id"], shape, problems)
        labels = _labels(row["id"], written == OPACITY, written, problems)
        if labels is not None:
            # The opacity of some is known without its boxes.
            known = boxes if boxes or written != OPACITY else None
            records.append(nih.tabled(row, path, labels, known, problems))
    return records
