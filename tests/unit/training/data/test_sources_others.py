"""Paediatric folders, masks of lungs and heart, MR volumes, a hospital's own folder: whole and broken."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from models.errors import Undecodable
from tests.support.data import radiographs
from training.data import sources
from training.data.sources import Kind, SourceRefused, atrium, ctr, dicom_folder, kermany

GREY = np.arange(40 * 50, dtype=np.uint8).reshape(40, 50)


def kinds(found: sources.DataSet) -> list[tuple[str, str]]:
    return [(problem.kind, Path(problem.where).name) for problem in found.problems]


def picture(path: Path, pixels: np.ndarray = GREY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def kermany_tree(folder: Path) -> Path:
    root = folder / "chest_xray"
    picture(root / "train" / "NORMAL" / "IM-0115-0001.jpeg")
    picture(root / "train" / "NORMAL" / "NORMAL2-IM-0383-0001.jpeg")
    picture(root / "train" / "PNEUMONIA" / "person12_bacteria_46.jpeg")
    picture(root / "test" / "PNEUMONIA" / "person12_virus_47.jpeg")
    picture(root / "test" / "NORMAL" / "NORMAL-1008087-0001.jpeg")
    for part in ("val/NORMAL", "val/PNEUMONIA"):
        (root / part).mkdir(parents=True)
    return folder


def test_children_are_read_by_class_and_patient_whatever_the_published_part(tmp_path: Path) -> None:
    found = kermany.read(kermany_tree(tmp_path))
    assert found.problems == ()
    assert {one.id: (one.patient, one.labels["pneumonia"], one.labels["viral"]) for one in found.records} == {
        "IM-0115-0001": ("N-0115", 0, 0),
        "NORMAL2-IM-0383-0001": ("N2-0383", 0, 0),
        "person12_bacteria_46": ("P12", 1, 0),
        "person12_virus_47": ("P12", 1, 1),
        "NORMAL-1008087-0001": ("M1008087", 0, 0),
    }
    assert found.records[0].image().shape == (40, 50)
    assert found.licence == "CC BY 4.0"


def test_what_is_wrong_with_the_class_folders_is_told(tmp_path: Path) -> None:
    root = kermany_tree(tmp_path) / "chest_xray"
    picture(root / "train" / "NORMAL" / "scan.jpeg")
    picture(root / "train" / "NORMAL" / "person5_virus_9.jpeg")
    picture(root / "test" / "NORMAL" / "IM-0115-0001.jpeg")
    (root / "train" / "NORMAL" / "IM-0200-0001.jpeg").write_bytes(b"\xff\xd8")
    (root / "train" / "NORMAL" / "._IM-0201-0001.jpeg").write_bytes(b"x")
    (root / "val" / "PNEUMONIA").rmdir()
    found = kermany.read(tmp_path)
    assert len(found.records) == 5
    assert sorted(kinds(found)) == sorted(
        [
            (Kind.LABEL, "scan.jpeg"),
            (Kind.LABEL, "person5_virus_9.jpeg"),
            (Kind.UNREADABLE, "IM-0200-0001.jpeg"),
            (Kind.UNLISTED, "IM-0115-0001.jpeg"),
            (Kind.MISSING, "PNEUMONIA"),
        ]
    )


def test_a_folder_without_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceRefused, match=r"neither table\.csv nor train/NORMAL"):
        kermany.read(tmp_path)
    with pytest.raises(SourceRefused, match="is no folder"):
        sources.read("kermany", tmp_path / "absent")
    with pytest.raises(SourceRefused, match="no data set of this program; it reads atrium, ctr"):
        sources.read("chexpert", tmp_path)


def halves() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks on a grid of 1024: right lung, left lung, heart."""
    right, left, heart = (np.zeros((1024, 1024), np.uint8) for _ in range(3))
    right[200:800, 100:400] = left[200:800, 600:900] = heart[600:800, 400:700] = 255
    return right, left, heart


def scr_tree(folder: Path, *, swapped: bool = False) -> Path:
    stored = np.full((2048, 2048), 4095, ">u2")
    stored[100:200, 300:400] = 0
    (folder / "All247images").mkdir()
    stored.tofile(folder / "All247images" / "JPCLN001.IMG")
    right, left, heart = halves()
    named = {"right lung": left if swapped else right, "left lung": right if swapped else left, "heart": heart}
    for name, mask in named.items():
        picture(folder / "scratch" / "fold1" / "masks" / name / "JPCLN001.gif", mask)
    return folder


@pytest.mark.parametrize("swapped", [False, True])
def test_jsrt_and_scr_are_read_with_the_patients_right_on_the_left(tmp_path: Path, swapped: bool) -> None:
    found = ctr.read(scr_tree(tmp_path, swapped=swapped))
    assert found.problems == ()
    (record,) = found.records
    assert record.mask_names == ("right-lung", "left-lung", "heart")
    assert record.mask is not None
    masks = record.mask()
    assert masks.shape == (3, 2048, 2048)
    for mask, half in zip(masks, halves(), strict=True):
        np.testing.assert_array_equal(mask[::2, ::2], half)
    shown = record.image().pixels
    assert (float(shown[150, 350]), float(shown[0, 0])) == (1.0, 0.0)  # white was stored as 0
    assert (record.site, record.labels) == ("jsrt", {"nodule": 1.0})


def test_what_is_wrong_with_jsrt_is_told(tmp_path: Path) -> None:
    root = scr_tree(tmp_path)
    (root / "All247images" / "JPCNN002.IMG").write_bytes(b"\0" * 1000)
    picture(root / "other" / "JPCNN003.png")
    for name in ("right lung", "heart"):
        picture(root / "scratch" / "fold2" / "masks" / name / "JPCNN003.gif")
    picture(root / "scratch" / "fold2" / "masks" / "heart" / "JPCNN004.gif")
    found = ctr.read(root)
    assert [(one.id, one.mask is None) for one in found.records] == [("JPCLN001", False), ("JPCNN003", True)]
    assert sorted(kinds(found)) == sorted(
        [(Kind.MISSING, "JPCNN002")] * 3
        + [(Kind.SIZE, "JPCNN002.IMG"), (Kind.MISSING, "JPCNN003"), (Kind.MISSING, "JPCNN004")]
    )


def test_images_without_masks_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    with pytest.raises(SourceRefused, match=r"nor masks in folders named right lung, left lung, heart"):
        ctr.read(tmp_path)


def task02(folder: Path) -> Path:
    """Two volumes stored in neurological order (R, A, S), 1.25 x 1.5 x 2 mm."""
    root = folder / "Task02_Heart"
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir(parents=True)
    affine = np.diag([1.25, 1.5, 2.0, 1.0])
    for name in ("la_003", "la_004"):
        image, label = np.zeros((6, 7, 5), np.float32), np.zeros((6, 7, 5), np.uint8)
        image[0, 6, 4], label[0, 6, 4] = 9, 1  # the patient's left, front, top
        nibabel.save(nibabel.Nifti1Image(image, affine), root / "imagesTr" / f"{name}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(label, affine), root / "labelsTr" / f"{name}.nii.gz")
    (root / "imagesTr" / "._la_003.nii.gz").write_bytes(b"x")
    names = ", ".join(f'{{"image": "./imagesTr/{n}.nii.gz", "label": ""}}' for n in ("la_003", "la_004"))
    (root / "dataset.json").write_text(f'{{"training": [{names}], "test": []}}')
    return folder


def test_volumes_are_read_feet_up_back_down_and_left_on_the_right(tmp_path: Path) -> None:
    found = atrium.read(task02(tmp_path))
    assert found.problems == ()
    assert [one.id for one in found.records] == ["la_003", "la_004"]
    assert found.records[0].volume is not None
    volume = found.records[0].volume()
    assert volume.image.shape == (5, 7, 6)
    assert volume.spacing_mm == (2.0, 1.5, 1.25)
    assert volume.mask is not None
    # +x leads to the patient's right in this file only if the affine says so: R, A, S means index 0 is the left.
    np.testing.assert_array_equal(np.argwhere(volume.image), [[4, 0, 5]])
    np.testing.assert_array_equal(volume.mask, volume.image > 0)
    assert found.records[0].image().shape == (7, 6)
    assert found.licence == "CC BY-SA 4.0"


def test_what_is_wrong_with_volumes_is_told(tmp_path: Path) -> None:
    root = task02(tmp_path) / "Task02_Heart"
    (root / "labelsTr" / "la_004.nii.gz").unlink()
    (root / "imagesTr" / "la_009.nii.gz").write_bytes(b"no gzip")
    affine = np.eye(4)
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2), np.uint8), affine), root / "imagesTr" / "la_010.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 3), np.uint8), affine), root / "labelsTr" / "la_010.nii.gz")
    found = atrium.read(tmp_path)
    assert [(one.id, math.isnan(one.labels["left-atrium"])) for one in found.records] == [
        ("la_003", False),
        ("la_004", True),
    ]
    assert sorted(kinds(found)) == sorted(
        [
            (Kind.MISSING, "la_004.nii.gz"),
            (Kind.MISSING, "la_009.nii.gz"),
            (Kind.UNREADABLE, "la_009.nii.gz"),
            (Kind.UNREADABLE, "la_010.nii.gz"),
            (Kind.UNLISTED, "la_009.nii.gz"),
            (Kind.UNLISTED, "la_010.nii.gz"),
        ]
    )


def test_a_label_that_is_neither_0_nor_1_is_refused(tmp_path: Path) -> None:
    root = task02(tmp_path) / "Task02_Heart"
    label = np.full((6, 7, 5), 3, np.uint8)
    nibabel.save(nibabel.Nifti1Image(label, np.eye(4)), root / "labelsTr" / "la_003.nii.gz")
    volume = atrium.read(tmp_path).records[0].volume
    assert volume is not None
    with pytest.raises(Undecodable, match=r"label values \[3\.0\], 0 and 1 were expected"):
        volume()


def test_npz_volumes_are_read_slices_first(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("id,rows,columns,slices\na,4,3,5\nb,4,3,5\nc,4,3,5\nd,4,3,5\n")
    image = np.arange(60, dtype=np.uint8).reshape(4, 3, 5)
    np.savez(tmp_path / "a.npz", image=image, label=image > 50)
    np.savez(tmp_path / "b.npz", image=image)
    (tmp_path / "c.npz").write_bytes(b"PK")
    found = atrium.read(tmp_path)
    (record,) = found.records
    assert record.volume is not None
    np.testing.assert_array_equal(record.volume().image, image.transpose())
    assert kinds(found) == [(Kind.UNREADABLE, "b.npz"), (Kind.UNREADABLE, "c.npz"), (Kind.MISSING, "d.npz")]


def hospital(folder: Path, table: str, **values: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "deep").mkdir()
    for name in ("one", "two"):
        ds = radiographs.radiograph(GREY, SOPInstanceUID=f"1.2.{len(name)}{ord(name[0])}", **values)
        radiographs.write(folder / "deep" / f"{name}.dcm", ds)
    (folder / "list.csv").write_text(table)
    return folder


def test_a_hospitals_folder_is_read_by_path_and_by_uid(tmp_path: Path) -> None:
    picture(tmp_path / "m.png", np.where(GREY > 9, 255, 0).astype(np.uint8))
    table = (
        "id,patient,effusion,site,note,mask,boxes\n"
        'deep/one.dcm,p1,1,East,seen,m.png,"effusion:1,2,3,4;mass:5,5,5,5"\n1.2.3116,,,,,,\n'
    )
    found = dicom_folder.read(hospital(tmp_path, table, PatientAge="006M", PatientSex="M"))
    assert found.problems == ()
    one, two = found.records
    assert (one.patient, one.site, one.labels) == ("p1", "East", {"effusion": 1.0})
    assert (two.id, two.path.name, two.patient) == ("1.2.3116", "two.dcm", "PLANTED-ID")
    assert math.isnan(two.labels["effusion"])
    assert (one.age_years, one.sex, one.view) == (0.5, "M", "PA")
    assert one.boxes is not None
    assert [(box.label, box.x1, box.y1) for box in one.boxes] == [("effusion", 4, 6), ("mass", 10, 10)]
    assert two.boxes is None
    assert one.mask is not None
    np.testing.assert_array_equal(one.mask()[0] > 0, GREY > 9)
    assert any("columns without any 0 or 1 are not labels: note" in note for note in found.notes)


def test_masks_and_boxes_of_a_mirrored_image_lie_on_its_canonical_grid(tmp_path: Path) -> None:
    inside = np.zeros_like(GREY)
    inside[1:4, 2:5] = 255
    picture(tmp_path / "m.png", inside)
    table = 'id,effusion,mass,mask:mass,boxes\ndeep/one.dcm,0,1,m.png,"mass:2,1,3,3"\n'
    (record,) = dicom_folder.read(hospital(tmp_path, table, PatientOrientation=["R", "F"])).records
    assert record.mask is not None
    assert record.boxes is not None
    assert record.mask_names == ("mass",)
    np.testing.assert_array_equal(record.mask()[0] > 0, inside[:, ::-1] > 0)
    (box,) = record.boxes
    filled = np.zeros_like(inside)
    filled[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)] = 255
    np.testing.assert_array_equal(filled, record.mask()[0])


def test_a_mask_of_no_stated_label_is_refused(tmp_path: Path) -> None:
    root = hospital(tmp_path, "id,effusion,mass,mask\ndeep/one.dcm,0,1,\n")
    with pytest.raises(SourceRefused, match="may be of effusion, mass; name it mask:effusion"):
        dicom_folder.read(root)


def test_what_is_wrong_with_a_hospitals_folder_is_told(tmp_path: Path) -> None:
    table = ("id,effusion,mask,boxes,age\ndeep/one.dcm,2,gone.png,effusion:1,200\n").replace(
        "effusion:1,200", '"effusion:1,2",200'
    ) + "deep/two.dcm,1,small.png,,\n../out.dcm,1,,,\n9.9,0,,,\n"
    (tmp_path / "out.dcm").write_bytes(b"x")
    root = hospital(tmp_path / "set", table)
    picture(root / "small.png", GREY[:5])
    found = dicom_folder.read(root)
    assert [one.id for one in found.records] == ["deep/one.dcm", "deep/two.dcm"]
    assert math.isnan(found.records[0].labels["effusion"])
    assert found.records[1].mask is None
    assert sorted(kinds(found)) == sorted(
        [
            (Kind.LABEL, "one.dcm"),
            (Kind.LABEL, "one.dcm"),
            (Kind.VALUE, "one.dcm"),
            (Kind.MISSING, "gone.png"),
            (Kind.SIZE, "small.png"),
            (Kind.MISSING, "out.dcm"),
            (Kind.MISSING, "9.9"),
        ]
    )


def test_a_short_row_loses_nothing_of_the_others(tmp_path: Path) -> None:
    picture(tmp_path / "m.png", np.where(GREY > 9, 255, 0).astype(np.uint8))
    table = "id,site,effusion,mask:effusion\ndeep/one.dcm,East\ndeep/two.dcm,West,1,m.png\n"
    one, two = dicom_folder.read(hospital(tmp_path, table)).records
    assert math.isnan(one.labels["effusion"])
    assert (two.labels, two.mask_names) == ({"effusion": 1.0}, ("effusion",))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "1", "P", "I;16"])
def test_a_mask_is_what_is_not_black_in_any_kind_of_picture(tmp_path: Path, mode: str) -> None:
    inside = np.zeros(GREY.shape, np.uint8)
    inside[1:3, 2:4] = 1
    plain = {"1": inside > 0, "P": inside, "I;16": inside.astype(np.uint16)}.get(mode, inside * 255)
    made = Image.fromarray(plain) if mode in ("1", "I;16") else Image.fromarray(plain).convert(mode)
    made.save(tmp_path / "m.png")
    table = "id,effusion,mask\ndeep/one.dcm,1,m.png\n"
    (record,) = dicom_folder.read(hospital(tmp_path, table)).records
    assert record.mask is not None
    np.testing.assert_array_equal(record.mask(), inside[None] * 255)


def test_one_file_is_one_image_and_tables_are_refused_with_a_hint(tmp_path: Path) -> None:
    root = hospital(tmp_path, "id,effusion\ndeep/two.dcm,1\n1.2.3116,0\n")
    found = dicom_folder.read(root)
    assert [one.id for one in found.records] == ["deep/two.dcm"]
    assert kinds(found) == [(Kind.LABEL, "1.2.3116")]
    (root / "list.csv").write_text("id;effusion\ndeep/one.dcm;1\n")
    with pytest.raises(SourceRefused, match="has semicolons between its columns; save it with commas"):
        dicom_folder.read(root)
    (root / "list.csv").write_text("id,effusion,effusion\ndeep/one.dcm,1,0\n")
    with pytest.raises(SourceRefused, match="names the column effusion twice"):
        dicom_folder.read(root)


def test_a_folder_with_two_tables_or_a_row_too_short_is_refused(tmp_path: Path) -> None:
    root = hospital(tmp_path, "id,effusion\ndeep/one.dcm,1\ndeep/one.dcm,0\n")
    with pytest.raises(SourceRefused, match="two images have the id"):
        dicom_folder.read(root)
    (root / "list.csv").write_text("id,effusion\ndeep/one.dcm,1,0\n")
    with pytest.raises(SourceRefused, match="row 2: 3 columns, the header has 2"):
        dicom_folder.read(root)
    (root / "more.csv").write_text("id\n")
    with pytest.raises(SourceRefused, match=r"holds list\.csv, more\.csv as csv"):
        dicom_folder.read(root)


@pytest.mark.parametrize(("name", "images", "masks"), [("kermany", 4508, 3837), ("ctr", 442, 442), ("atrium", 10, 0)])
def test_the_real_data_are_read_whole(data_folder: Path, name: str, images: int, masks: int) -> None:
    found = sources.read(name, data_folder)
    assert found.problems == ()
    assert (len(found.records), sum(one.mask is not None for one in found.records)) == (images, masks)
    last = found.records[-1]
    if last.mask is not None:
        assert last.mask().shape[1:] == last.image().shape
    if last.volume is not None:
        volume = last.volume()
        assert volume.image.shape[0] == 88
        assert volume.mask is not None
        assert 0 < volume.mask.mean() < 0.2
