"""How the rate changes, and what of a training depends on the numbers of its classes and on the patient."""

from __future__ import annotations

from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, Dataset

from models import networks
from models.image.inputs import InputSpec
from models.inference.runner import NETWORK
from tests.support.paths import RECIPES
from training.config import Optimisation, Tuning
from training.fit import loop, schedules
from training.fit.schedules import Plateau
from training.tasks.chest import module
from training.tasks.chest import recipe as chest_recipe
from training.tasks.chest.data import LabelItem
from training.tasks.chest.export import only_label

WEIGHTS = torch.nn.Linear(3, 1)


def rates(settings: Optimisation, steps: int) -> list[float]:
    """Follow a schedule over all steps."""
    made = schedules.configured(WEIGHTS, settings, None, steps=steps)
    optimiser, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    found: list[float] = []
    for _ in range(steps):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return found


def test_the_cosine_rises_and_falls_to_nothing() -> None:
    found = rates(Optimisation(learning_rate=0.1, warmup_fraction=0.2), 50)
    assert found[:3] == pytest.approx([0.01, 0.02, 0.03])
    assert max(found) == pytest.approx(0.1)
    assert found[30] == pytest.approx(0.05)
    assert found[-1] < 0.0005


def test_without_a_schedule_and_decay_it_is_adam_at_one_rate() -> None:
    recipe = chest_recipe.read(RECIPES / "adult-pneumonia-resnet18.yaml")
    made = schedules.configured(WEIGHTS, recipe.optimisation, recipe.tuning, steps=10)
    assert isinstance(made, torch.optim.AdamW)
    assert {(group["lr"], group["weight_decay"]) for group in made.param_groups} == {(1e-4, 0.0)}


def test_a_plateau_lowers_each_group_to_its_own_least_rate() -> None:
    net = networks.build("baseline-cnn", 1)
    settings = Optimisation(
        learning_rate=1e-3, schedule="plateau", plateau_patience=0, plateau_factor=0.5, least_rate=1e-5
    )
    tuning = Tuning(upper_stages=2, upper_rate=1e-5, upper_least_rate=3e-6)
    optimiser = schedules.configured(net, settings, tuning, steps=10)
    scheduler = schedules.plateau(optimiser, settings, tuning)
    seen: list[dict[str, float]] = []
    for score in (-0.5, -0.4, -0.4, -0.41, *[-0.4] * 20):
        scheduler.step(score)
        seen.append({group["part"]: group["lr"] for group in optimiser.param_groups})
    assert seen[1] == {"head": 1e-3, "upper": 1e-5}
    assert seen[2] == pytest.approx({"head": 5e-4, "upper": 5e-6})
    assert seen[3] == pytest.approx({"head": 2.5e-4, "upper": 3e-6})
    assert seen[-1] == pytest.approx({"head": 1e-5, "upper": 3e-6})


class Scripted:
    """What `Plateau` sees of a trainer: an optimiser and the score of the last validation."""

    sanity_checking = False

    def __init__(self) -> None:
        self.optimizers = [torch.optim.AdamW(torch.nn.Linear(3, 1).parameters(), lr=0.1)]
        self.callback_metrics: dict[str, torch.Tensor] = {}

    def validate(self, plateau: Plateau, scores: list[float]) -> list[float]:
        """Return the rate after each score."""
        found: list[float] = []
        for score in scores:
            self.callback_metrics["val_score"] = torch.tensor(score)
            plateau.on_validation_end(self, None)  # type: ignore[arg-type]
            found.append(self.optimizers[0].param_groups[0]["lr"])
        return found


@pytest.mark.parametrize("stop", range(1, 7))
def test_a_plateau_remembers_its_best_score_and_its_patience(stop: int) -> None:
    settings, scores = Optimisation(schedule="plateau", plateau_patience=1), [0.7, 0.6, 0.65, 0.69, 0.68, 0.8, 0.7, 0.7]
    trainer, whole = Scripted(), Plateau(settings, None, score="val_score")
    whole.on_train_start(trainer, None)  # type: ignore[arg-type]
    expected = trainer.validate(whole, scores)
    assert expected == pytest.approx([0.1, 0.1, 0.03, 0.03, 0.009, 0.009, 0.009, 0.0027])
    trainer, first = Scripted(), Plateau(settings, None, score="val_score")
    first.on_train_start(trainer, None)  # type: ignore[arg-type]
    trainer.validate(first, scores[:stop])
    again = Plateau(settings, None, score="val_score")
    again.load_state_dict(first.state_dict())
    again.on_train_start(trainer, None)  # type: ignore[arg-type]
    assert trainer.validate(again, scores[stop:]) == pytest.approx(expected[stop:])


class Pictures(Dataset[LabelItem]):
    """Noise with labels that nothing in it explains: the score soon stands still."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self.images = torch.rand(8, 1, 64, 64, generator=generator)
        self.labels = torch.tensor([[1.0], [1], [0], [1], [1], [float("nan")], [1], [1]])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> LabelItem:
        return {"image": self.images[index], "labels": self.labels[index], "patient": torch.full((2,), torch.nan)}


def train(folder: Path, epochs: int, start: Path | None = None) -> tuple[lightning.LightningModule, list[float]]:
    """Train the plain CNN with a nervous plateau; give the task and the rate at the end."""
    nervous = {"schedule": "plateau", "plateau_patience": 0, "learning_rate": 1e-2}
    settings = Optimisation.model_validate({"batch_size": 4, "precision": "32-true", **nervous})
    recipe = chest_recipe.read(RECIPES / "paediatric-baseline.yaml")
    recipe = recipe.model_copy(update={"input": InputSpec(size=64), "optimisation": settings})
    torch.manual_seed(2)
    task = module.module_of(recipe)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        default_root_dir=folder,
        callbacks=[
            loop.SeededEpochs(3),
            Plateau(settings, None, score=loop.SCORE),
            ModelCheckpoint(folder, filename="last", enable_version_counter=False, save_on_train_epoch_end=True),
        ],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    # As in training/tasks/chest/data.py: a loader of its own generator leaves alone the one that dropout draws from.
    loaders = [DataLoader(Pictures(), 4, generator=torch.Generator()) for _ in range(2)]
    with loop.expected_warnings():
        trainer.fit(task, *loaders, ckpt_path=start, weights_only=True)
    return task, [group["lr"] for group in trainer.optimizers[0].param_groups]


@pytest.mark.filterwarnings("ignore:.*number of training batches.*", "ignore:.*TensorBoard.*")
def test_a_plateau_goes_on_after_a_resume_as_if_nothing_had_been(tmp_path: Path) -> None:
    whole, rate = train(tmp_path / "whole", epochs=6)
    train(tmp_path / "stopped", epochs=3)
    resumed, resumed_rate = train(tmp_path / "stopped", epochs=6, start=tmp_path / "stopped" / "last.ckpt")
    assert rate == resumed_rate
    assert rate[0] < 1e-2
    first, second = whole.state_dict(), resumed.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    # Six positives, one negative, one unknown.
    assert whole.positive_weight.tolist() == pytest.approx([1 / 6])


@pytest.mark.parametrize("name", ["densenet121", "resnet18-1ch", "tf_efficientnet_lite0", "efficientnet_b0-patient"])
def test_one_output_of_many_is_cut_out_exactly(name: str) -> None:
    torch.manual_seed(0)
    net = networks.build(name, 3).eval()
    kept = only_label({NETWORK + key: value for key, value in net.state_dict().items()}, 1, 3)
    alone = networks.build(name, 1).eval()
    alone.load_state_dict({key.removeprefix(NETWORK): value for key, value in kept.items()})
    image = torch.rand(1, 1, 64, 64).expand(-1, 3, -1, -1)
    with torch.no_grad():
        torch.testing.assert_close(alone(image).logits, net(image).logits[:, 1:2], rtol=1e-5, atol=1e-6)


def test_only_a_network_that_may_be_told_hears_of_the_patient() -> None:
    recipe = chest_recipe.read(RECIPES / "nih-findings.yaml")
    image, patient = torch.rand(2, 1, 64, 64), torch.tensor([[80.0, 1.0], [20.0, -1.0]])
    with torch.no_grad():
        for name, hears in (("mobilenet_v2-patient", True), ("mobilenet_v2", False)):
            torch.manual_seed(0)
            task = module.module_of(recipe.model_copy(update={"architecture": name})).eval()
            same = torch.equal(task(image, patient).logits, task(image).logits)
            assert same is not hears
