"""One step of each training on generated pictures, then export: the bundle answers as the trained network does."""

from __future__ import annotations

from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader

from models.bundle import manifest as bundles
from models.bundle import store
from models.image.inputs import InputSpec
from models.inference.runner import GATE, NETWORK, Runner, run_image
from tests.support.paths import RECIPES
from training.bundles import weights
from training.config import Optimisation
from training.data import terms
from training.data.cache import Cache
from training.fit import initial
from training.fit.augment import Augment
from training.fit.losses import FULL
from training.tasks.chest import export, gatefit, manifests, module
from training.tasks.chest import recipe as chest_recipe
from training.tasks.chest.data import LabelDataset, MaskDataset, NegativeDataset
from training.tasks.chest.module import ChestModule
from training.tasks.chest.recipe import ChestRecipe

SIZE = 64


def small(name: str) -> ChestRecipe:
    """Shrink a committed recipe."""
    recipe = chest_recipe.read(RECIPES / f"{name}.yaml")
    loop = Optimisation(epochs=1, batch_size=2, precision="32-true")
    return recipe.model_copy(update={"input": InputSpec(size=SIZE), "optimisation": loop})


def pictures(count: int = 4) -> Cache:
    """Generate pictures with one disc for each label."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (count, SIZE, SIZE)).astype(np.uint8)
    masks = np.zeros((count, 3, SIZE, SIZE), np.uint8)
    for channel in range(3):
        masks[:, channel, 10 + 8 * channel : 40, 5 + 15 * channel : 20 + 15 * channel] = 255
    return Cache(tuple(str(i) for i in range(count)), images, masks)


@pytest.fixture
def quiet_trainer(tmp_path: Path) -> lightning.Trainer:
    """Make a trainer that writes nothing."""
    return lightning.Trainer(
        max_steps=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )


def step(task: ChestModule, trainer: lightning.Trainer, items: torch.utils.data.Dataset) -> None:
    """Train one step and validate once, and see that the weights moved."""
    before = {key: value.clone() for key, value in task.net.state_dict().items()}
    trainer.fit(task, DataLoader(items, 2), DataLoader(items, 2))
    assert any(not torch.equal(before[key], value) for key, value in task.net.state_dict().items())
    assert all(torch.isfinite(value).all() for value in task.net.state_dict().values())


@pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*treespec.*", "ignore:.*GPU.*")
def test_one_step_of_segmentation(quiet_trainer: lightning.Trainer) -> None:
    recipe = small("lungs-heart")
    vary = Augment(recipe.augmentation)
    items = torch.utils.data.ConcatDataset(
        [
            MaskDataset(pictures(), [0, 1], FULL, vary),
            NegativeDataset(pictures(), [2, 3], vary, transform=True),
        ]
    )
    step(module.module_of(recipe), quiet_trainer, items)


@pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*treespec.*", "ignore:.*GPU.*")
def test_one_step_of_classification(quiet_trainer: lightning.Trainer) -> None:
    recipe = small("paediatric-pneumonia")
    labels = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    step(
        module.module_of(recipe),
        quiet_trainer,
        LabelDataset(pictures(), [0, 1, 2, 3], labels, torch.full((4, 2), torch.nan), Augment(recipe.augmentation)),
    )


@pytest.mark.parametrize("name", ["lungs-heart", "paediatric-pneumonia"])
def test_imagenet_weights_fill_the_whole_encoder(tmp_path: Path, name: str) -> None:
    donor = module.module_of(small("paediatric-pneumonia"))
    state = {key.removeprefix("net."): value.contiguous() for key, value in donor.net.state_dict().items()}
    save_file(state, tmp_path / "weights.safetensors")
    task = module.module_of(small(name))
    assert initial.fill(task.net, str(tmp_path / "weights.safetensors")) == 312
    own = task.net.encoder.state_dict()
    torch.testing.assert_close(own["features.18.0.weight"], state["features.18.0.weight"])
    state.pop("features.18.0.weight")
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match="does not fit"):
        initial.fill(task.net, str(tmp_path / "weights.safetensors"))


def test_an_exported_bundle_answers_as_the_network_does(tmp_path: Path) -> None:
    recipe = small("lungs-heart")
    torch.manual_seed(0)
    task = module.module_of(recipe).eval()
    weights.round_to_fp16(task.net)
    features = np.random.default_rng(0).normal(size=(80, 1280)).astype(np.float32)
    statistics = gatefit.statistics_of(features)
    limits = bundles.GateSettings(
        lung_area_part=(0.0, 1.0),
        lungs_area_part=(0.0, 1.0),
        smaller_to_larger_area=0.0,
        horizontal_separation=0.0,
        vertical_overlap=0.0,
        solidity=0.0,
        largest_piece=0.0,
        confidence=0.0,
        feature_distance=9.0,
        rule="none",
    )
    tensors = {NETWORK + key: weights.stored(value) for key, value in task.net.state_dict().items()}
    tensors |= {GATE + key: value for key, value in export.gate_tensors(statistics).items()}
    save_file(tensors, tmp_path / store.WEIGHTS)
    (tmp_path / store.CARD).write_text("card")
    store.write_manifest(tmp_path, manifests.lungs_heart(recipe, limits, (terms.source("jsrt", 1, 1),)))
    runner = Runner(store.load(tmp_path), device="cpu", dtype="float32")
    image = np.random.default_rng(1).random((SIZE, SIZE)).astype(np.float32)
    logits, pooled, _ = run_image(runner, image)
    with torch.inference_mode():
        expected, expected_pooled, _ = task(torch.from_numpy(image)[None, None])
    np.testing.assert_array_equal(logits, expected[0].numpy())
    assert pooled is not None
    np.testing.assert_array_equal(pooled, expected_pooled[0].numpy())
    assert runner.statistics is not None
    assert runner.statistics.distance(features[0]) == pytest.approx(statistics.distance(features[0]), rel=1e-5)
