"""A hospital's own folder, and the owners' layouts, go the whole way: split, train, export, evaluate."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from models.bundle.store import load
from models.image import rle
from models.image.rle import Dialect
from tests.support.commands import training
from tests.support.data import radiographs, training_data
from tests.support.paths import RECIPES

IMAGES = 40
SITES = ("East", "West")


def drawn(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a chest, every second one with something in the upper left lung; give it and where that is."""
    rng = np.random.default_rng(number)
    picture, masks = training_data.chest(rng, bright=number % 2 == 0)
    rows = np.mgrid[0 : training_data.EDGE, 0 : training_data.EDGE][0]
    return picture, masks["left"] & (rows < training_data.EDGE // 3) & (number % 2 == 0)


def dicom(path: Path, picture: np.ndarray, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    person = {"PatientID": f"p{number}", "PatientAge": f"0{30 + number}Y", "PatientSex": "FM"[number % 2]}
    ds = radiographs.radiograph(picture, SOPInstanceUID=f"1.2.3.{number}", ViewPosition="PA", **person)
    radiographs.write(path, ds)


def hospital(folder: Path) -> Path:
    """Write DICOM files and one csv with labels, a mask column and boxes."""
    lines = ["id,site,pneumothorax,lung-opacity,mask:pneumothorax,boxes"]
    for number in range(IMAGES):
        picture, inside = drawn(number)
        dicom(folder / "images" / f"{number}.dcm", picture, number)
        ill = int(inside.any())
        if ill:
            path = folder / "masks" / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(inside).save(path)
        mask, boxes = (f"masks/{number}.png", '"lung-opacity:20,40,16,20"') if ill else ("", "")
        lines.append(f"images/{number}.dcm,{SITES[number // 20]},{ill},{ill},{mask},{boxes}")
    (folder / "ours.csv").write_text("\n".join(lines) + "\n")
    return folder


def siim(folder: Path) -> Path:
    """Write the challenge's layout: nested DICOM of 1024 x 1024 and run-length strings."""
    lines = ["ImageId,EncodedPixels"]
    for number in range(IMAGES):
        picture, inside = (np.asarray(Image.fromarray(one).resize((1024, 1024), 0)) for one in drawn(number))
        name = f"1.2.3.{number}"
        dicom(folder / "dicom-images-train" / f"s{number}" / f"e{number}" / f"{name}.dcm", picture, number)
        lines.append(f"{name},{rle.encode(inside, Dialect.RELATIVE) if inside.any() else rle.EMPTY}")
    (folder / "train-rle.csv").write_text("\n".join(lines) + "\n")
    return folder


def rsna(folder: Path) -> Path:
    """Write the challenge's layout: DICOM of 1024 x 1024, boxes and classes."""
    boxes, classes = ["patientId,x,y,width,height,Target"], ["patientId,class"]
    for number in range(IMAGES):
        picture = np.asarray(Image.fromarray(drawn(number)[0]).resize((1024, 1024), 0))
        dicom(folder / "stage_2_train_images" / f"i{number}.dcm", picture, number)
        ill = number % 2 == 0
        boxes.append(f"i{number},{'220,480,160,200,1' if ill else ',,,,0'}")
        classes.append(f"i{number},{'Lung Opacity' if ill else 'Normal'}")
    (folder / "stage_2_train_labels.csv").write_text("\n".join(boxes) + "\n")
    (folder / "stage_2_detailed_class_info.csv").write_text("\n".join(classes) + "\n")
    return folder


def children(folder: Path) -> Path:
    """Write Kaggle's class folders."""
    for number in range(IMAGES):
        ill = number % 2 == 0
        name = f"person{number}_virus_{number}" if ill else f"IM-{number:04d}-0001"
        path = folder / "chest_xray" / "train" / ("PNEUMONIA" if ill else "NORMAL") / f"{name}.jpeg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn(number)[0]).save(path)
    return folder


CASES = {
    "own-findings": (hospital, "dicom", "nih-findings", {"labels": ["pneumothorax", "lung-opacity"]}),
    "own-outlines": (hospital, "dicom", "pneumothorax-unet", {}),
    "own-boxes": (hospital, "dicom", "adult-pneumonia-boxes", {}),
    "siim-outlines": (siim, "siim", "pneumothorax-unetpp", {}),
    "rsna-boxes": (rsna, "rsna", "adult-pneumonia-boxes", {}),
    "rsna-classes": (rsna, "rsna", "adult-pneumonia-resnet18", {}),
    "kaggle-children": (children, "kermany", "paediatric-baseline", {}),
}


@pytest.mark.parametrize("case", CASES)
def test_data_as_they_come_go_the_whole_way(case: str, tmp_path: Path) -> None:
    write, source, name, changes = CASES[case]
    data, ids = write(tmp_path / "data"), tmp_path / "ours-ids.csv"
    training("split", source, "--data", data, "--out", ids, "--val", "0.3", "--test", "0.3")
    recipe = yaml.safe_load((RECIPES / f"{name}.yaml").read_text())
    recipe |= changes | {"data": {"sources": [source], "split": str(ids)}}
    if name == "nih-findings":
        recipe["findings"]["selected"] = ["pneumothorax"]
        recipe["bundles"] = {"pneumothorax": recipe["bundles"]["pneumothorax"]}
    (tmp_path / "ours.yaml").write_text(yaml.safe_dump(recipe))
    given = ("--data", data, "--cache", tmp_path / "cache")
    training("train", tmp_path / "ours.yaml", *given, "--out", tmp_path / "run", "--smoke")
    (bundle,) = (Path(line) for line in training("export", tmp_path / "run", *given).split())
    told = {one.name: one for one in load(bundle).manifest.training_data}
    assert any(one.images == 16 and one.patients == 16 for one in told.values()), told
    training("evaluate", bundle, "--data", data, "--source", source, "--ids", ids)
    report = json.loads((bundle / "evaluation" / "report.json").read_text())
    assert (report["data_set"], report["split"], report["targets"]) == ("ours-ids", "test", [])
    assert report["images"] == 12
    assert load(bundle).manifest.evaluation
    if name.startswith("pneumothorax"):
        told_by = training(
            "outlines", bundle, *given[:2], "--out", tmp_path / "masks.csv", "--source", source, "--split", "test"
        )
        rows = list(csv.DictReader((tmp_path / "masks.csv").read_text().splitlines()))
        assert len(rows) == IMAGES
        assert all(rle.decode(row["EncodedPixels"]).shape == (1024, 1024) for row in rows)
        assert f"{IMAGES} images, {sum(row['EncodedPixels'] != rle.EMPTY for row in rows)} with a mask" in told_by
    if source == "dicom":
        page = (bundle / "evaluation" / "index.html").read_text()
        assert all(site in page for site in SITES)


def test_own_masks_train_lungs_and_heart(tmp_path: Path) -> None:
    """The adults of the recipe are the hospital's; children, other findings and MR slices are the public ones."""
    data = training_data.write(tmp_path / "data")
    lines = ["id,patient,nodule,mask:right-lung,mask:left-lung,mask:heart"]
    for number in range(IMAGES):
        picture, masks = training_data.chest(np.random.default_rng(number))
        dicom(data / "dicom" / f"{number}.dcm", picture, number)
        for structure, name in (("right", "right-lung"), ("left", "left-lung"), ("heart", "heart")):
            Image.fromarray(masks[structure]).save(data / "dicom" / f"{number}-{name}.png")
        columns = ",".join(f"{number}-{name}.png" for name in ("right-lung", "left-lung", "heart"))
        lines.append(f"{number}.dcm,p{number},0,{columns}")
    (data / "dicom" / "ours.csv").write_text("\n".join(lines) + "\n")
    ids = tmp_path / "ours.csv"
    training("split", "dicom", "--data", data / "dicom", "--out", ids, "--val", "0.3", "--test", "0.3")
    recipe = yaml.safe_load((RECIPES / "lungs-heart.yaml").read_text())
    recipe["data"] = {"sources": ["dicom"], "split": str(ids)}
    (tmp_path / "ours.yaml").write_text(yaml.safe_dump(recipe))
    given = ("--data", data, "--cache", tmp_path / "cache")
    training("train", tmp_path / "ours.yaml", *given, "--out", tmp_path / "run", "--smoke")
    (bundle,) = (Path(line) for line in training("export", tmp_path / "run", *given).split())
    assert load(bundle).manifest.training_data[0].name == "own collection of DICOM images"
    training("evaluate", bundle, "--data", data, "--source", "dicom", "--ids", ids)
    report = json.loads((bundle / "evaluation" / "report.json").read_text())
    assert report["images"] == 12
