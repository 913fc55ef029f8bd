"""The atrium recipes run end to end on synthetic volumes; a killed run resumes to the same weights."""

from __future__ import annotations

from pathlib import Path

import lightning
import numpy as np
import pytest
import torch

from models.bundle import store
from models.networks.volumes import VOLUME_ARCHITECTURES, build_volume
from models.volume.atrium import VolumeAnalyser
from tests.support.data import volumes
from tests.support.paths import RECIPES
from training.bundles.weights import round_to_fp16
from training.config import Run, write
from training.data import collection
from training.data import volumes as data_volumes
from training.fit import loop
from training.tasks.atrium import data as cases
from training.tasks.atrium import export, fit
from training.tasks.atrium import recipe as config
from training.tasks.atrium.augment import Patches
from training.tasks.atrium.patches import PatchDataset, PatchOrder
from training.tasks.atrium.recipe import VolumeAugmentation, VolumeRecipe

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore::FutureWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*treespec.*", "ignore:.*GPU.*"),
    pytest.mark.filterwarnings("ignore:.*exists and is not empty.*", "ignore:.*litlogger.*"),
]


def weights(run: Path) -> dict[str, torch.Tensor]:
    """Read what a run exports."""
    return export.load(Run(run, run))[1].net.state_dict()


@pytest.mark.parametrize("name", ["atrium-2d", "atrium-3d"])
def test_a_recipe_runs_from_volumes_to_a_bundle_that_answers(tmp_path: Path, name: str) -> None:
    data, recipe = volumes.data_set(tmp_path), volumes.recipe(name)
    run = Run(tmp_path / "run", data)
    fit.train(recipe, run)
    (folder,) = export.export(run)
    bundle = store.load(folder)
    assert (bundle.manifest.task, bundle.manifest.volume) == ("volume-segmentation", recipe.volume)
    images = collection.read(data, recipe.data)
    (case,) = data_volumes.read(images, images.ids("val")[:1], recipe.volume)
    found = VolumeAnalyser(bundle).probabilities(case.image.astype(np.float32), recipe.volume.source_spacing_mm)
    assert found.shape == case.image.shape
    assert 0 <= found.min() <= found.max() <= 1
    # What serves sees the same numbers as what was trained: the module on the prepared volume, rounded as it is stored.
    module = export.load(run)[1]
    round_to_fp16(module.net)
    with torch.inference_mode():
        from models.volume.grid import answered, resampled

        said = answered(cases.prepared(case, recipe).image, recipe.volume, module.answer)[0]
    expected = resampled(said, recipe.volume.spacing_mm, recipe.volume.source_spacing_mm, case.image.shape)
    np.testing.assert_array_equal(found, expected)


class Killed(lightning.Callback):
    """Ends the process's work in the middle of the second epoch, as a kill would."""

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: object) -> None:
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["atrium-2d", "atrium-3d"])
def test_a_killed_run_resumes_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    data, recipe = volumes.data_set(tmp_path), volumes.recipe(name)
    recipe = recipe.model_copy(update={"optimisation": recipe.optimisation.model_copy(update={"epochs": 3})})
    fit.train(recipe, Run(tmp_path / "whole", data))
    whole = loop.lightning.Trainer

    def doomed(*args: object, **given: object) -> lightning.Trainer:
        given["callbacks"] = [*given["callbacks"], Killed()]  # type: ignore[misc]
        return whole(*args, **given)

    with monkeypatch.context() as patched:
        patched.setattr(loop.lightning, "Trainer", doomed)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            fit.train(recipe, Run(tmp_path / "killed", data))
    with pytest.raises(ValueError, match="1 of 3 epochs"):
        export.export(Run(tmp_path / "killed", data))
    fit.train(recipe, Run(tmp_path / "killed", data, resume=True))
    first, second = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


def test_the_same_patch_is_drawn_for_the_same_seed_epoch_and_number(tmp_path: Path) -> None:
    recipe = volumes.recipe()
    found = collection.read(volumes.data_set(tmp_path), recipe.data)
    given = [cases.prepared(case, recipe) for case in data_volumes.read(found, ["a01", "a06"], recipe.volume)]
    one, other = PatchDataset(given, recipe), PatchDataset(given, recipe)
    assert torch.equal(one[(3, 5)]["image"], other[(3, 5)]["image"])
    assert not torch.equal(one[(3, 5)]["image"], one[(4, 5)]["image"])
    order = PatchOrder(3)
    order.set_epoch(7)
    assert list(order) == [(7, 0), (7, 1), (7, 2)]


def test_image_and_mask_move_together() -> None:
    still = VolumeAugmentation(
        unchanged=0, gamma=(1, 1), contrast=(1, 1), brightness=0, bias=0, noise=0, blur_probability=0
    )
    ball = torch.from_numpy(volumes.body((24, 30, 28), (12, 15, 14), 7)).float()
    cut = Patches(still, (2.0, 1.0, 1.0), (16, 24, 24))
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        image, mask = cut(torch.stack([ball, ball]), torch.tensor([12.0, 15, 14]), generator)
        torch.testing.assert_close(image, mask)
        assert 0.3 < float(mask.sum() / ball.sum()) < 2


def test_an_unchanged_patch_is_a_cut_of_the_volume() -> None:
    volume = torch.rand(12, 14, 16)
    cut = Patches(VolumeAugmentation(unchanged=1), (1.0, 1.0, 1.0), (5, 5, 5))
    image, _ = cut(torch.stack([volume, volume]), torch.tensor([6.0, 7, 8]), torch.Generator().manual_seed(0))
    torch.testing.assert_close(image[0], volume[4:9, 5:10, 6:11], atol=1e-5, rtol=0)


def test_a_turned_patch_keeps_its_form_where_voxels_are_longer_than_wide() -> None:
    """A ball in millimetres stays a ball: geometry is drawn in millimetres, not in voxels."""
    settings = VolumeAugmentation(unchanged=0, scale=(1, 1), shear=0, elastic_mm=0, rotation_degrees=45)
    spacing = (2.5, 1.0, 1.0)
    grid = np.stack(np.meshgrid(*(np.arange(n) * s for n, s in zip((24, 60, 60), spacing, strict=True)), indexing="ij"))
    ball = torch.from_numpy((((grid - 29) / 14) ** 2).sum(axis=0) < 1).float()
    cut = Patches(settings, spacing, (20, 50, 50))
    _, mask = cut(torch.stack([ball, ball]), torch.tensor([11.6, 29, 29]), torch.Generator().manual_seed(2))
    reach = [
        float(np.ptp(edge.numpy()) + 1) * s for edge, s in zip(torch.nonzero(mask[0] > 0.5).T, spacing, strict=True)
    ]
    # Zoom by axis is at most a tenth.
    assert max(reach) / min(reach) < 1.35


@pytest.mark.parametrize("path", sorted(RECIPES.glob("atrium-*.yaml")), ids=lambda path: path.stem)
def test_recipes_read_and_their_resolved_copies_read_the_same(path: Path, tmp_path: Path) -> None:
    recipe = config.read(path)
    write(recipe, tmp_path / "resolved.yaml")
    assert config.read(tmp_path / "resolved.yaml") == recipe
    assert all(n % 8 == 0 for n in recipe.volume.window[1:])


def test_the_test_split_is_never_trained_on(tmp_path: Path) -> None:
    content = (RECIPES / "atrium-3d.yaml").read_text()
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "\n".join(line for line in content.splitlines() if "trained_on" not in line) + "\ntrained_on: [test]\n"
    )
    with pytest.raises(ValueError, match="evaluation alone"):
        config.read(path)


@pytest.mark.parametrize("architecture", VOLUME_ARCHITECTURES)
def test_every_architecture_answers_on_its_window(architecture: str) -> None:
    network = build_volume(architecture, 1).eval()
    shape = (3, 32, 64) if "2d" in architecture else (16, 24, 32)
    with torch.inference_mode():
        logits = network(torch.rand(2, 1, *shape)).logits
    assert logits.shape == (2, 1, 1 if "2d" in architecture else 16, *shape[1:])


def test_files_that_disagree_with_the_table_are_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data, recipe = volumes.data_set(tmp_path), volumes.recipe()
    held = dict(np.load(data / volumes.NAME / "a01.npz"))
    np.savez(data / volumes.NAME / "a01.npz", image=held["image"][:-1], label=held["label"][:-1])
    np.savez(data / volumes.NAME / "a06.npz", image=held["image"], label=held["label"] * 2)
    images = collection.read(data, recipe.data)
    assert not {"a01", "a06"} & set(images.records)
    assert "atrium: 2 problems, the first: a01.npz is" in caplog.text
    with pytest.raises(KeyError):
        data_volumes.read(images, ["a01"], recipe.volume)


def test_axes_become_slices_rows_columns(data_folder: Path) -> None:
    recipe: VolumeRecipe = volumes.recipe()
    (case,) = data_volumes.read(collection.read(data_folder, recipe.data), ["a01"], recipe.volume)
    assert case.image.shape == (88, 143, 199)
    assert cases.prepared(case, recipe).image.shape == cases.prepared(case, recipe).cover.shape
