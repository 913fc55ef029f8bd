"""What is known of each NIH image: one value a label, 1 present, 0 absent, NaN unknown.

Three sources of truth, from the best to the worst: the SIIM-ACR experts (pneumothorax), the RSNA radiologists (lung
opacity), and the text-mined findings of ChestX-ray14. "No Finding" is not a radiologist's normal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.splits import read_table

Float = NDArray[np.float32]
PNEUMOTHORAX, LUNG_OPACITY, NO_FINDING = "pneumothorax", "lung-opacity", "no-finding"
# ChestX-ray14 has ages of several hundred years.
OLDEST_YEARS = 120
# Labels with a place: the channel of the cache that holds it (training/cache.py).
LOCATED: Mapping[str, int] = {PNEUMOTHORAX: 0, LUNG_OPACITY: 1}
# Names here, and in the column `findings` of ChestX-ray14.
TEXT_MINED: Mapping[str, str] = {
    "atelectasis": "Atelectasis",
    "cardiomegaly": "Cardiomegaly",
    "effusion": "Effusion",
    "infiltration": "Infiltration",
    "mass": "Mass",
    "nodule": "Nodule",
    "pneumonia": "Pneumonia",
    "consolidation": "Consolidation",
    "edema": "Edema",
    "emphysema": "Emphysema",
    "fibrosis": "Fibrosis",
    "pleural-thickening": "Pleural_Thickening",
    "hernia": "Hernia",
    NO_FINDING: "No Finding",
}


def labels(data: Path, ids: Sequence[str], names: Sequence[str]) -> Float:
    """Give the labels (ids, names).

    Raises
    ------
    KeyError
        An id is not in the table, or a name is no label.
    """
    rows = {row["id"]: row for row in read_table(data, "nih")}
    return np.array([[value(rows[one], name) for name in names] for one in ids], np.float32).reshape(-1, len(names))


def value(row: Mapping[str, str], name: str) -> float:
    """Give one label of a row of the table."""
    findings = row["findings"].split("|")
    match name:
        case "pneumothorax":
            # The expert's word counts, whatever was read from the report.
            return float(row["siim_positive"]) if row["siim_positive"] else float("Pneumothorax" in findings)
        case "lung-opacity":
            return float(row["rsna_class"] == "Lung Opacity") if row["rsna_class"] else float("nan")
    return float(TEXT_MINED[name] in findings)


def patients(data: Path, ids: Sequence[str]) -> Float:
    """Give age in years and sex (-1 female, 1 male) of each image's patient (ids, 2); NaN is unknown."""
    rows = {row["id"]: row for row in read_table(data, "nih")}
    sexes = {"F": -1.0, "M": 1.0}
    known = [(float(rows[one]["age"] or "nan"), sexes.get(rows[one]["sex"], float("nan"))) for one in ids]
    values = np.array(known, np.float32).reshape(-1, 2)
    values[values[:, 0] > OLDEST_YEARS, 0] = np.nan
    return values


def place_known(data: Path, ids: Sequence[str], names: Sequence[str]) -> Float:
    """Give 1 where the place of a label (ids, names) is known, absence included; else 0."""
    rows = {row["id"]: row for row in read_table(data, "nih")}
    return np.array([[_place_known(rows[one], name) for name in names] for one in ids], np.float32).reshape(
        -1, len(names)
    )


def _place_known(row: Mapping[str, str], name: str) -> float:
    """Say whether the mask or boxes of a label are all there is."""
    match name:
        case "pneumothorax":
            return float(row["pneumothorax_mask"] == "1" or value(row, name) == 0)
        case "lung-opacity":
            return float(row["rsna_class"] != "")
    return 0.0
