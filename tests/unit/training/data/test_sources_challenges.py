"""SIIM-ACR, RSNA and NIH ChestX-ray14 in their owners' layouts, whole and broken."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.errors import Undecodable
from models.image import rle
from models.image.rle import Dialect
from tests.support.data import radiographs
from training.data import sources
from training.data.sources import Kind, SourceRefused, nih, rsna, siim

SMALL = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
WHOLE = np.zeros((1024, 1024), np.uint8)


def kinds(found: sources.DataSet) -> list[tuple[str, str]]:
    return [(problem.kind, Path(problem.where).name) for problem in found.problems]


def dicom(path: Path, pixels: np.ndarray = WHOLE, **values: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    ds = radiographs.radiograph(pixels, sop_class=radiographs.SC, ViewPosition="PA", PatientSex="F", **values)
    return radiographs.write(path, ds)


def outline(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((1024, 1024), bool)
    mask[rows, columns] = True
    return mask


LEFT, RIGHT = outline(slice(100, 300), slice(50, 120)), outline(slice(400, 410), slice(700, 900))


def siim_tree(folder: Path, dialect: Dialect = Dialect.RELATIVE) -> Path:
    for name, patient in (("1.1", "a"), ("1.2", "a"), ("1.3", "b")):
        dicom(folder / "dicom-images-train" / f"s{name}" / f"e{name}" / f"{name}.dcm", PatientID=patient)
    lines = [
        "ImageId, EncodedPixels",
        f"1.1, {rle.encode(LEFT, dialect)}",
        f"1.1, {rle.encode(RIGHT, dialect)}",
        "1.2, -1",
        f"1.3, {rle.encode(RIGHT, dialect)}",
    ]
    (folder / "train-rle.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("dialect", [Dialect.RELATIVE, Dialect.ABSOLUTE_FROM_1])
def test_siim_is_read_in_both_dialects(tmp_path: Path, dialect: Dialect) -> None:
    found = siim.read(siim_tree(tmp_path, dialect))
    assert found.problems == ()
    assert [(one.id, one.patient, one.labels) for one in found.records] == [
        ("1.1", "a", {"pneumothorax": 1.0}),
        ("1.2", "a", {"pneumothorax": 0.0}),
        ("1.3", "b", {"pneumothorax": 1.0}),
    ]
    first, second, _ = found.records
    assert first.mask is not None
    assert second.mask is not None
    np.testing.assert_array_equal(first.mask()[0] == 255, LEFT | RIGHT)
    assert not second.mask().any()
    assert (first.view, first.sex, first.age_years) == ("PA", "F", None)
    assert first.image().shape == (1024, 1024)
    assert "non-commercial" in found.licence
    assert str(dialect) in found.notes[-1]


def test_a_mask_is_laid_onto_the_grid_of_its_image(tmp_path: Path) -> None:
    siim_tree(tmp_path)
    dicom(next(tmp_path.rglob("1.3.dcm")), PatientOrientation=["R", "F"])
    mask = siim.read(tmp_path).records[2].mask
    assert mask is not None
    np.testing.assert_array_equal(mask()[0] == 255, RIGHT[:, ::-1])


def test_what_is_wrong_with_siim_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    siim_tree(tmp_path)
    table = tmp_path / "train-rle.csv"
    table.write_text(table.read_text() + "1.4, -1\n1.5, 3 2 1\n1.6, -1\n1.2, 5 5\n")
    dicom(tmp_path / "dicom-images-train" / "1.5.dcm")
    dicom(tmp_path / "dicom-images-train" / "1.9.dcm")
    (tmp_path / "dicom-images-train" / "1.6.dcm").write_bytes(b"nothing")
    dicom(next(tmp_path.rglob("1.1.dcm")), SMALL, PatientAge="413Y")
    found = siim.read(tmp_path)
    assert [one.id for one in found.records] == ["1.1", "1.2", "1.3"]
    assert kinds(found) == [
        (Kind.VALUE, "1.1"),
        (Kind.SIZE, "1.1.dcm"),
        (Kind.LABEL, "1.2"),
        (Kind.MISSING, "1.4"),
        (Kind.LABEL, "1.5"),
        (Kind.UNREADABLE, "1.6.dcm"),
        (Kind.UNLISTED, "1.9.dcm"),
    ]
    assert found.records[0].mask is None
    assert found.records[0].labels == {"pneumothorax": 1.0}


def test_siim_without_its_parts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceRefused, match=r"neither table\.csv nor train-rle\.csv"):
        siim.read(tmp_path)
    (tmp_path / "train-rle.csv").write_text("ImageId,Pixels\nx,y\n")
    with pytest.raises(SourceRefused, match="no column EncodedPixels; its columns are ImageId, Pixels"):
        siim.read(tmp_path)
    (tmp_path / "train-rle.csv").write_text("ImageId,EncodedPixels\n")
    with pytest.raises(SourceRefused, match="a header and no row"):
        siim.read(tmp_path)
    (tmp_path / "train-rle.csv").write_text("ImageId,EncodedPixels\n1.1,-1\n")
    with pytest.raises(SourceRefused, match="no image of the table could be found"):
        siim.read(tmp_path)


def rsna_tree(folder: Path) -> Path:
    for name in ("p", "q", "r", "s"):
        dicom(folder / "stage_2_train_images" / f"{name}.dcm", PatientID=name, PatientAge="051Y")
    (folder / "stage_2_train_labels.csv").write_text(
        "patientId,x,y,width,height,Target\np,264.0,152.0,213.0,379.0,1\np,562.0,152.0,256.0,453.0,1\n"
        "q,,,,,0\nr,,,,,0\ns,10,10,20,30,1\n"
    )
    classes = [("p", rsna.OPACITY)] * 2 + [("q", rsna.NORMAL), ("r", rsna.OTHER), ("s", rsna.OPACITY)]
    (folder / "stage_2_detailed_class_info.csv").write_text(
        "patientId,class\n" + "".join(f"{name},{written}\n" for name, written in classes)
    )
    return folder


def test_rsna_is_read_with_boxes_and_classes(tmp_path: Path) -> None:
    found = rsna.read(rsna_tree(tmp_path))
    assert found.problems == ()
    first, normal, other, _ = found.records
    assert first.boxes is not None
    assert [(box.x0, box.y0, box.x1, box.y1) for box in first.boxes] == [(264, 152, 477, 531), (562, 152, 818, 605)]
    assert normal.boxes == ()
    assert first.labels == {"lung-opacity": 1.0, "normal": 0.0, "not-normal": 0.0}
    assert (normal.labels["normal"], other.labels["not-normal"]) == (1.0, 1.0)
    assert first.age_years == 51
    assert any("patient of its own" in note for note in found.notes)


def test_rsna_takes_its_persons_from_the_mapping(tmp_path: Path) -> None:
    mapping = [{"subset_img_id": name, "img_id": f"0000001{i // 2}_000.png"} for i, name in enumerate("pqrs")]
    (rsna_tree(tmp_path) / rsna.MAPPING).write_text(json.dumps(mapping))
    found = rsna.read(tmp_path)
    assert [one.patient for one in found.records] == ["00000010", "00000010", "00000011", "00000011"]
    assert not any("patient of its own" in note for note in found.notes)


def test_what_is_wrong_with_rsna_is_told(tmp_path: Path) -> None:
    table = rsna_tree(tmp_path) / "stage_2_train_labels.csv"
    table.write_text(
        table.read_text().replace("s,10,10,20,30,1", "s,1000,10,50,30,1\nq,1,1,5,5,0\nr,,,,,2\nt,,,,,0\nu,1,1,5,5,1")
    )
    dicom(tmp_path / "stage_2_train_images" / "u.dcm")
    classes = tmp_path / "stage_2_detailed_class_info.csv"
    classes.write_text(classes.read_text() + f"u,{rsna.NORMAL}\nv,Unclear\n")
    found = rsna.read(tmp_path)
    assert [one.id for one in found.records] == ["p"]
    assert sorted(kinds(found)) == sorted(
        [(Kind.LABEL, name) for name in ("s", "q", "r", "v", "u")] + [(Kind.MISSING, "t")]
    )


def nih_tree(folder: Path) -> Path:
    for number, name in enumerate(("00000001_000", "00000001_001", "00000002_000")):
        place = folder / f"images_00{number + 1}" / "images"
        place.mkdir(parents=True)
        Image.fromarray(WHOLE).save(place / f"{name}.png")
    (folder / "Data_Entry_2017.csv").write_text(
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
        "00000001_000.png,Cardiomegaly|Pleural_Thickening,0,1,058,M,PA,2682,2749,0.143,0.143,\n"
        "00000001_001.png,No Finding,1,1,414,M,AP,2894,2729,0.143,0.143,\n"
        "00000002_000.png,Infiltration,0,2,081,F,PA,2500,2048,0.171,0.171,\n"
    )
    (folder / "BBox_List_2017.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00000002_000.png,Infiltrate,225.0,547.0,86.7,79.1,,,\n"
    )
    return folder


def test_nih_is_read_from_all_its_archives(tmp_path: Path) -> None:
    found = nih.read(nih_tree(tmp_path))
    assert kinds(found) == [(Kind.VALUE, "00000001_001.png")]
    first, second, third = found.records
    assert {name for name, value in first.labels.items() if value} == {"cardiomegaly", "pleural-thickening"}
    assert (second.labels["no-finding"], second.age_years, second.view) == (1.0, None, "AP")
    assert [one.patient for one in found.records] == ["1", "1", "2"]
    assert third.boxes is not None
    assert (third.boxes[0].label, third.boxes[0].x0) == ("infiltration", 225)
    assert third.boxes[0].y1 == pytest.approx(626.1)
    assert first.boxes is None
    assert "3 of the 112,120 published images are read here" in found.notes


def test_what_is_wrong_with_nih_is_told(tmp_path: Path) -> None:
    table = nih_tree(tmp_path) / "Data_Entry_2017.csv"
    table.write_text(
        table.read_text().replace("00000001_001.png,No Finding", "00000001_001.png,No Finding|Mass")
        + "00000003_000.png,Flu,0,3,058,M,PA,1,1,0.1,0.1,\n00000004_000.png,Mass,0,4,058,X,PA,1,1,0.1,0.1,\n"
    )
    images = tmp_path / "images_001" / "images"
    Image.fromarray(WHOLE).save(images / "00000003_000.png")
    Image.fromarray(WHOLE).save(images / "00000009_000.png")
    (tmp_path / "images_003" / "images" / "00000002_000.png").write_bytes(b"cut")
    boxes = tmp_path / "BBox_List_2017.csv"
    boxes.write_text(boxes.read_text() + "00000001_000.png,Mass,1000,10,100,10,,,\n")
    found = nih.read(tmp_path)
    assert [one.id for one in found.records] == ["00000001_000"]
    assert sorted(kinds(found)) == sorted(
        [
            (Kind.LABEL, "BBox_List_2017.csv: 00000001_000.png"),
            (Kind.LABEL, "00000001_001.png"),
            (Kind.UNREADABLE, "00000002_000.png"),
            (Kind.LABEL, "00000003_000.png"),
            (Kind.MISSING, "00000004_000.png"),
            (Kind.UNLISTED, "00000009_000.png"),
        ]
    )


def test_a_cut_image_is_found_when_it_is_read(tmp_path: Path) -> None:
    path = nih_tree(tmp_path) / "images_001" / "images" / "00000001_000.png"
    noise = np.random.default_rng(0).integers(0, 255, (1024, 1024)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:50_000])
    record = nih.read(tmp_path).records[0]
    with pytest.raises(Undecodable, match=r"00000001_000\.png is no readable picture"):
        record.image()


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    nih_tree(tmp_path)
    Image.fromarray(WHOLE).save(tmp_path / "images_002" / "images" / "00000001_000.png")
    with pytest.raises(SourceRefused, match=r"two files are named 00000001_000\.png"):
        nih.read(tmp_path)


@pytest.mark.parametrize(
    ("name", "images", "patients", "positive"),
    [
        ("nih", 3357, 2236, ("pneumothorax", 896)),
        ("siim", 1159, 647, ("pneumothorax", 917)),
        ("rsna", 713, 607, ("lung-opacity", 188)),
    ],
)
def test_the_real_data_are_read_whole(
    data_folder: Path, name: str, images: int, patients: int, positive: tuple[str, int]
) -> None:
    """The counts of DATA.md; patients as the tables give them."""
    found = sources.read(name, data_folder)
    assert found.problems == ()
    assert len(found.records) == images
    assert len({one.patient for one in found.records}) == patients
    label, count = positive
    assert sum(one.labels[label] == 1 for one in found.records) == count
    assert found.records[0].image().shape == (512, 512)


def test_boxes_and_masks_of_the_real_data_lie_within_their_images(data_folder: Path) -> None:
    boxes = [(one, box) for one in sources.read("rsna", data_folder).records for box in one.boxes or ()]
    assert len(boxes) > 188
    assert all(0 <= box.x0 < box.x1 <= 512 and 0 <= box.y0 < box.y1 <= 512 for _, box in boxes)
    masked = [one for one in sources.read("siim", data_folder).records if one.labels["pneumothorax"]][:5]
    for one in masked:
        assert one.mask is not None
        assert one.mask().shape == (1, 512, 512)
        assert set(np.unique(one.mask())) == {0, 255}
