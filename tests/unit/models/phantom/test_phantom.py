"""The phantom: a generated chest radiograph that is valid, repeatable, varied, and taken for a chest."""

from __future__ import annotations

import dataclasses
import io
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from models import phantom
from models.bundle import store
from models.phantom import anatomy
from models.phantom.image import Phantom
from models.phantom.warp import displacement

SMALL = {"rows": 320, "columns": 256}


@lru_cache(maxsize=16)
def small(seed: int) -> Phantom:
    return phantom.generate(seed, **SMALL)


def encoded(made: Phantom, **options: object) -> bytes:
    stream = io.BytesIO()
    phantom.dataset(made, **options).save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def test_same_seed_gives_same_bytes() -> None:
    again = phantom.generate(3, **SMALL)
    assert encoded(small(3)) == encoded(again)
    assert np.array_equal(again.heart, small(3).heart)


def test_another_seed_gives_another_anatomy_and_another_identity() -> None:
    first, second = small(3), small(4)
    assert not np.array_equal(first.heart, second.heart)
    assert not np.array_equal(first.right_lung, second.right_lung)
    one, other = phantom.dataset(first), phantom.dataset(second)
    assert one.SOPInstanceUID != other.SOPInstanceUID
    assert one.StudyInstanceUID != other.StudyInstanceUID


def test_the_heart_width_varies_within_the_wanted_range() -> None:
    ratios = [
        anatomy.sample(anatomy.load(), np.random.default_rng(seed), cardiothoracic_ratio=wanted).cardiothoracic_ratio
        for seed, wanted in enumerate(np.linspace(0.38, 0.62, 40))
    ]
    assert np.allclose(ratios, np.linspace(0.38, 0.62, 40), atol=0.025)
    assert np.std([small(seed).cardiothoracic_ratio for seed in range(6)]) > 0.02


def test_the_warp_never_folds() -> None:
    # Heart and lung borders run side by side: carried by both, the appearance once folded into a swirl there.
    model = anatomy.load()
    xs, ys = np.linspace(*anatomy.FRAME_X, 40), np.linspace(*anatomy.FRAME_Y, 40)
    for seed in range(12):
        random = np.random.default_rng(seed)
        chest = anatomy.sample(model, random, cardiothoracic_ratio=float(random.uniform(0.4, 0.62)))
        x, y = displacement(anatomy.warp_points(chest.points), anatomy.warp_points(model.shape_mean), xs, ys)
        dx, dy = xs[1] - xs[0], ys[1] - ys[0]
        area = np.gradient(x, dx, axis=1) * np.gradient(y, dy, axis=0)
        area -= np.gradient(x, dy, axis=0) * np.gradient(y, dx, axis=1)
        assert area.min() > 0.02, seed


def test_pixels_are_twelve_bits_in_sixteen_and_use_the_range() -> None:
    pixels = small(5).pixels
    assert pixels.dtype == np.uint16
    assert pixels.max() <= 4095
    low, high = np.percentile(pixels, [1, 99])
    assert low < 800
    assert high > 2600


@pytest.mark.parametrize("seed", range(6))
def test_masks_are_plausible(seed: int) -> None:
    made = small(seed)
    area = made.pixels.size
    rows, columns = np.indices(made.pixels.shape)
    for lung in (made.right_lung, made.left_lung):
        assert 0.06 < lung.sum() / area < 0.25
    assert 0.04 < made.heart.sum() / area < 0.2
    assert columns[made.right_lung].mean() < columns[made.heart].mean() < columns[made.left_lung].mean()
    assert rows[made.heart].mean() > rows[made.right_lung | made.left_lung].mean()
    assert not (made.right_lung & made.left_lung).any()
    assert not (made.heart & (made.right_lung | made.left_lung)).any()
    assert 0.35 < made.cardiothoracic_ratio < 0.65
    # Lung is darker than heart by much more than the noise.
    lungs = made.right_lung | made.left_lung
    assert np.median(made.pixels[made.heart]) - np.median(made.pixels[lungs]) > 400


@pytest.mark.parametrize(("rows", "columns"), [(333, 251), (256, 401), (64, 64), (97, 131)])
def test_odd_sizes_are_generated_as_asked(rows: int, columns: int) -> None:
    made = phantom.generate(1, rows=rows, columns=columns)
    assert made.pixels.shape == made.heart.shape == made.left_lung.shape == (rows, columns)
    ds = dcmread(io.BytesIO(encoded(made)))
    assert np.array_equal(ds.pixel_array, made.pixels)


def test_the_anatomy_does_not_depend_on_the_number_of_pixels() -> None:
    large = phantom.generate(2, rows=640, columns=512)
    half = phantom.generate(2, rows=320, columns=256)
    assert large.cardiothoracic_ratio == pytest.approx(half.cardiothoracic_ratio, abs=0.015)
    assert large.spacing_mm * 2 == pytest.approx(half.spacing_mm, rel=0.001)


def test_a_child_is_smaller_and_says_so() -> None:
    child, adult = phantom.generate(1, age_years=4, **SMALL), small(1)
    assert child.spacing_mm < 0.7 * adult.spacing_mm
    assert phantom.dataset(child).PatientAge == "004Y"
    assert phantom.dataset(adult).PatientAge == "054Y"


@pytest.mark.parametrize("options", [{"rows": 10}, {"age_years": -1}, {"projection": "LL"}])
def test_senseless_wishes_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        phantom.generate(1, **{**SMALL, **options})


def test_header_of_a_digital_radiograph() -> None:
    ds = dcmread(io.BytesIO(encoded(small(1))))
    assert ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.1.1"
    assert (ds.Modality, ds.PresentationIntentType) == ("DX", "FOR PRESENTATION")
    assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation) == (16, 12, 11, 0)
    assert (ds.BodyPartExamined, ds.ViewPosition, list(ds.PatientOrientation)) == ("CHEST", "PA", ["L", "F"])
    assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert ds.ImagerPixelSpacing[0] == pytest.approx(small(1).spacing_mm)
    assert all(str(ds[name].value).startswith("2.25.") for name in ("StudyInstanceUID", "SOPInstanceUID"))


def test_identity_can_be_given() -> None:
    ds = phantom.dataset(small(1), study_instance_uid="1.2.3", patient_id="P1", patient_name="A^B", seed=77)
    assert (ds.StudyInstanceUID, ds.PatientID, ds.PatientName) == ("1.2.3", "P1", "A^B")
    assert ds.SOPInstanceUID != phantom.dataset(small(1)).SOPInstanceUID


def test_inverted_object_shows_the_same_picture() -> None:
    inverted = phantom.dataset(small(1), photometric=phantom.Photometric.MONOCHROME1)
    stored = np.frombuffer(inverted.PixelData, "<u2").reshape(small(1).pixels.shape)
    assert np.array_equal(4095 - stored, small(1).pixels)
    assert inverted.PresentationLUTShape == "INVERSE"


@pytest.mark.parametrize("photometric", list(phantom.Photometric))
@pytest.mark.parametrize("view", list(phantom.View))
@pytest.mark.parametrize("sop_class", list(phantom.SopClass))
def test_objects_are_valid(
    tmp_path: Path, sop_class: phantom.SopClass, view: phantom.View, photometric: phantom.Photometric
) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian package dicom3tools) is not installed")
    path = tmp_path / "phantom.dcm"
    made = dataclasses.replace(small(1), age_years=4) if view is phantom.View.AP else small(1)
    phantom.write(path, made, sop_class=sop_class, view=view, photometric=photometric)
    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False).stderr
    assert "Error" not in said
    assert "Warning" not in said


def test_the_fitted_file_holds_statistics_only() -> None:
    # Means and modes: nothing in it has one entry per patient.
    with np.load(Path(anatomy.__file__).with_name("model.npz"), allow_pickle=False) as stored:
        shapes = {name: stored[name].shape for name in stored.files}
    assert shapes == {
        "shape_mean": (anatomy.POINTS, 2),
        "shape_modes": (10, anatomy.POINTS, 2),
        "appearance_mean": anatomy.GRID,
        "appearance_modes": (6, *anatomy.GRID),
        "appearance_scale": (6,),
        "aspect": (2,),
    }


def test_the_gate_takes_it_for_a_frontal_chest_and_finds_its_lungs(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the networks need torch (extra `worker`)")
    segmenters = [found for found in store.find(store.shipped()) if found.manifest.name == "lungs-heart"]
    if not segmenters:
        pytest.skip("no lungs-heart bundle in models/bundles yet")
    from models.chest import analyser as chest
    from models.image import pixels

    analyser = chest.ChestAnalyser.load(segmenters[-1:])
    for seed in (1, 10):
        made = phantom.generate(seed, rows=640, columns=512)
        ds = phantom.write(tmp_path / "phantom.dcm", made)
        radiograph = pixels.read(tmp_path / "phantom.dcm")
        result = analyser.analyse(radiograph, sop_instance_uid=ds.SOPInstanceUID, age_years=54, view="PA")
        assert result.gate.passed, f"seed {seed}: {result.gate.detail}"
        found = {segment.label: segment.mask for segment in result.segments}
        for label, truth in (
            ("right-lung", made.right_lung),
            ("left-lung", made.left_lung),
            ("heart", made.heart),
        ):
            overlap = 2 * (found[label] & truth).sum() / (found[label].sum() + truth.sum())
            assert overlap > (0.8 if label == "heart" else 0.9), f"seed {seed}: {label} Dice {overlap:.3f}"
