"""The data sets' terms, as DATA.md and the sources give them; manifests and cards repeat them."""

from __future__ import annotations

from collections.abc import Collection

from models.bundle.manifest import DataSource

LICENCE = {
    "wingspan": (
        "MIT",
        "Dong et al. 2018, Unsupervised domain adaptation for automatic estimation of cardiothoracic ratio",
    ),
    "jsrt": (
        "research and education",
        "Shiraishi et al. 2000 (images); van Ginneken et al. 2006 (contours of the SCR database)",
    ),
    "kermany": ("CC BY 4.0", "Kermany et al. 2018, Identifying medical diagnoses and treatable diseases (Cell)"),
    "kermany-lungs": ("CC BY 4.0", "lung masks by V7 on the images of Kermany et al. 2018"),
    "nih": (
        "no restrictions; cite and link the NIH Clinical Center (https://nihcc.app.box.com/v/ChestXray-NIHCC)",
        "Wang et al. 2017, ChestX-ray8; images provided by the NIH Clinical Center",
    ),
    "siim": (
        "academic, non-commercial",
        "SIIM-ACR Pneumothorax Segmentation Challenge 2019 (annotations by the Society of Thoracic Radiology)",
    ),
    "rsna": (
        "academic, non-commercial",
        "RSNA Pneumonia Detection Challenge 2018, Shih et al. 2019 (annotations of radiologists)",
    ),
    "atrium": ("research", "2018 Atrial Segmentation Challenge, Xiong et al. 2020"),
    "dicom": ("as the hospital decides; not for distribution", "own collection"),
}
NIH_COMBINED = (
    "academic and non-commercial use only (annotations of SIIM-ACR and RSNA on images of the NIH Clinical Center); see "
    "training_data for each set"
)
NAMES = {
    "wingspan": "Wingspan chest radiographs with masks",
    "jsrt": "JSRT chest radiographs with SCR masks",
    "kermany": "paediatric chest radiographs, Guangzhou",
    "kermany-lungs": "paediatric lung-field masks (V7)",
    "nih": "NIH ChestX-ray14",
    "siim": "SIIM-ACR experts' pneumothorax labels and masks on NIH images",
    "rsna": "RSNA radiologists' classes and boxes on NIH images",
    "atrium": "left-atrium MR volumes (pictures to be refused)",
    "dicom": "own collection of DICOM images",
}


def source(key: str, images: int, patients: int) -> DataSource:
    """Describe one data set as far as it was trained on."""
    licence, citation = LICENCE[key]
    return DataSource(name=NAMES[key], images=images, patients=patients, licence=licence, citation=citation)


def of_set(name: str, licence: str, citation: str, images: int, patients: int) -> DataSource:
    """Describe a data set that was read, by its own terms."""
    return DataSource(name=NAMES.get(name, name), images=images, patients=patients, licence=licence, citation=citation)


def combined(names: Collection[str]) -> tuple[str, bool]:
    """Return the terms of weights that were fitted on these data sets, and whether they forbid commercial use."""
    if set(names) <= {"nih", "siim", "rsna"}:
        return NIH_COMBINED, set(names) != {"nih"}
    if set(names) == {"kermany"}:
        return "CC BY 4.0, with the attribution given under training_data", False
    return "as the owners of the data decide; see training_data for each set", True
