"""Small made-up data sets in the layout of the real ones, with some ids of the committed splits."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data import splits

EDGE = 96
# Of each split; each kind of label comes up in each.
COUNTS: dict[splits.Split, int] = {"train": 12, "val": 6, "test": 6}


def write(folder: Path) -> Path:
    """Write ctr, kermany, nih and atrium with a few images each, and give the folder."""
    rng = np.random.default_rng(3)
    _ctr(folder / "ctr", rng)
    _kermany(folder / "kermany", rng)
    _nih(folder / "nih", rng)
    _atrium(folder / "atrium", rng)
    return folder


def chest(rng: np.random.Generator, *, bright: bool = False) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.bool_]]]:
    """Draw two dark lungs and a heart on a bright body, a little different each time; with a bright patch if told."""
    rows, columns = np.mgrid[0:EDGE, 0:EDGE] / EDGE
    shift = rng.uniform(-0.03, 0.03)

    def ellipse(row: float, column: float, high: float, wide: float) -> NDArray[np.bool_]:
        return ((rows - row) / high) ** 2 + ((columns - column - shift) / wide) ** 2 < 1

    masks = {
        "right": ellipse(0.45, 0.3, 0.33, 0.15),
        "left": ellipse(0.45, 0.7, 0.33, 0.15),
        "heart": ellipse(0.6, 0.55, 0.15, 0.17),
    }
    picture = np.full((EDGE, EDGE), 170.0)
    picture[masks["right"] | masks["left"]] = 60
    picture[masks["heart"]] = 200
    if bright:
        picture[ellipse(0.55, 0.3, 0.1, 0.08)] = 190
    noisy = picture + rng.normal(0, 8, picture.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), masks


def _ids(name: str, count: dict[splits.Split, int] = COUNTS, start: str = "") -> list[str]:
    """Take the first ids of each split that begin with `start`."""
    return [
        one
        for split, most in count.items()
        for one in [each for each in splits.read(name, split) if each.startswith(start)][:most]
    ]


def _save(picture: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def _table(folder: Path, rows: list[dict[str, object]]) -> None:
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _ctr(folder: Path, rng: np.random.Generator) -> None:
    rows: list[dict[str, object]] = []
    for site in ("wingspan", "jsrt"):
        for name in _ids("ctr", start=site[0]):
            picture, masks = chest(rng)
            _save(picture, folder / "images" / f"{name}.jpg")
            bits = masks["right"] * 1 + masks["left"] * 2 + masks["heart"] * 4
            _save(bits.astype(np.uint8), folder / "masks" / f"{name}.png")
            where = np.argwhere(masks["heart"])
            (y0, x0), (y1, x1) = where.min(axis=0), where.max(axis=0) + 1
            box = {"heart_x0": x0, "heart_y0": y0, "heart_x1": x1, "heart_y1": y1}
            rows.append({"id": name, "site": site, "patient": name, "ctr_from_masks": "0.5", "ctr_given": "", **box})
    _table(folder, rows)


def _kermany(folder: Path, rng: np.random.Generator) -> None:
    rows: list[dict[str, object]] = []
    patient = splits.patients("kermany")
    for name in (*_ids("kermany", COUNTS, "IM"), *_ids("kermany", COUNTS, "person")):
        ill = name.startswith("person")
        picture, masks = chest(rng, bright=ill)
        _save(picture, folder / "images" / f"{name}.jpg")
        _save(np.where(masks["right"] | masks["left"], 255, 0).astype(np.uint8), folder / "lungs" / f"{name}.png")
        kind = {"pneumonia": int(ill), "subtype": name.split("_")[1] if ill else "normal", "lung_mask": 1}
        size = {"original_width": EDGE, "original_height": EDGE}
        rows.append({"id": name, "patient": patient[name], **kind, **size})
    _table(folder, rows)


def _nih(folder: Path, rng: np.random.Generator) -> None:
    rows: list[dict[str, object]] = []
    patient = splits.patients("nih")
    (folder / "pneumothorax").mkdir(parents=True)
    for number, name in enumerate(_ids("nih", {split: count * 2 for split, count in COUNTS.items()})):
        kind = number % 3
        picture, masks = chest(rng, bright=kind == 1)
        _save(picture, folder / "images" / f"{name}.jpg")
        if kind == 0:
            lesion = masks["left"] & (np.mgrid[0:EDGE, 0:EDGE][0] < EDGE // 3)
            Image.fromarray(lesion).save(folder / "pneumothorax" / f"{name}.png")
        rows.append(
            {
                "id": name,
                "patient": patient[name],
                "findings": ("Pneumothorax", "Atelectasis|Pneumonia", "No Finding")[kind],
                "view": ("PA", "AP")[number % 2],
                "age": 20 + number,
                "sex": ("M", "F")[number % 2],
                "follow_up": 0,
                "siim_positive": ("1", "", "0")[kind],
                "pneumothorax_mask": int(kind == 0),
                "rsna_class": ("", "Lung Opacity", "Normal")[kind],
                "rsna_boxes_xywh_1024": "240,490,160,200" if kind == 1 else "",
                "nih_boxes_xywh_1024": "",
                "google_pneumothorax": "",
                "source_form": "png",
                "source_under_512": 0,
            }
        )
    _table(folder, rows)


def _atrium(folder: Path, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    rows: list[dict[str, object]] = []
    for name in [one for split in splits.SPLITS for one in splits.read("atrium", split)]:
        image = rng.integers(0, 255, (48, 40, 16), dtype=np.uint8)
        label = np.zeros_like(image)
        label[15:30, 12:28, 5:11] = 1
        image[label == 1] = 240
        np.savez_compressed(folder / f"{name}.npz", image=image, label=label)
        rows.append({"id": name, "rows": 48, "columns": 40, "slices": 16})
    _table(folder, rows)
