"""Two-phase fine-tuning through a real trainer: what learns when, at which rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from models import networks
from training.fit import freezing
from training.fit.freezing import TwoPhases, groups, stages


class Tuned(lightning.LightningModule):
    """A small classifier with a backbone of five stages."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.net = networks.build("baseline-cnn", 1)
        self.rates: list[dict[str, float]] = []

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        rates = {group["part"]: group["lr"] for group in self.optimizers().param_groups}  # type: ignore[union-attr]
        self.rates.append(rates)
        return self.net(batch).logits.pow(2).mean()

    def validation_step(self, batch: Tensor, index: int) -> None:
        self.net(batch)

    def configure_optimizers(self) -> Any:
        made = groups(self.net, weight_decay=0.1, upper_stages=2, upper_rate=1e-5)
        return torch.optim.AdamW(made, lr=1e-2)


class Watch(lightning.Callback):
    """Keeps the weights after each epoch."""

    def __init__(self) -> None:
        self.states: list[dict[str, Tensor]] = []

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.states.append({key: value.clone() for key, value in pl_module.net.state_dict().items()})


def fitted(folder: Path, epochs: int) -> tuple[Tuned, list[dict[str, Tensor]]]:
    """Train with two frozen epochs; the first state is the one before."""
    task, watch = Tuned(), Watch()
    before = {key: value.clone() for key, value in task.net.state_dict().items()}
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        default_root_dir=folder,
        callbacks=[TwoPhases(frozen_epochs=2, upper_stages=2, upper_rate=1e-5), watch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    images = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    trainer.fit(task, DataLoader(images, batch_size=4), DataLoader(images[:4], batch_size=4))
    return task, [before, *watch.states]


def changed(one: dict[str, Tensor], other: dict[str, Tensor]) -> set[str]:
    """Name the parts of the network whose weights differ."""
    return {".".join(key.split(".")[:2]) for key in one if not torch.equal(one[key], other[key])}


# Lightning 2.6 on the newest torch, and its advice to a tiny training.
@pytest.mark.filterwarnings("ignore:.*treespec.*", "ignore:.*LeafSpec.*", "ignore:.*does not have many workers.*")
@pytest.mark.filterwarnings("ignore:.*number of training batches.*")
def test_the_head_learns_first_and_the_upper_stages_later(tmp_path: Path) -> None:
    task, states = fitted(tmp_path, epochs=4)
    assert changed(states[0], states[2]) == {"classify.weight", "classify.bias"}
    assert changed(states[2], states[4]) == {"classify.weight", "classify.bias", "features.3", "features.4"}
    norms = [key for key in states[0] if "running" in key or ("features" in key and states[0][key].ndim == 1)]
    assert len(norms) == 20
    assert all(torch.equal(states[0][key], states[4][key]) for key in norms)
    assert task.rates[-1] == {"head": 1e-2, "upper": 1e-5}
    step = (states[4]["features.4.0.weight"] - states[3]["features.4.0.weight"]).abs().max()
    assert 0 < float(step) < 5e-5


@pytest.mark.parametrize(
    ("name", "count"),
    [("efficientnet_b0", 9), ("mobilenet_v2", 19), ("resnet18-1ch", 5), ("densenet121", 8), ("baseline-cnn", 5),
     ("tf_efficientnet_lite0", 9), ("unet-tu-efficientnet_lite0", 8), ("efficientnet_b0-patient", 9)],
)  # fmt: skip
def test_every_backbone_has_its_stages(name: str, count: int) -> None:
    assert len(stages(networks.build(name, 1).encoder)) == count


@pytest.mark.parametrize("name", ["efficientnet_b0", "densenet121", "efficientnet_b0-patient"])
def test_only_what_learns_has_a_gradient_and_a_group(name: str) -> None:
    net = networks.build(name, 1)
    freezing.freeze(net.encoder, learning=3)
    made = groups(net, weight_decay=0.1, upper_stages=3, upper_rate=1e-5)
    grouped = {id(weight) for group in made for weight in group["params"]}
    learning = {id(weight) for weight in net.parameters() if weight.requires_grad}
    assert grouped == learning
    assert 0 < len(learning) < len(list(net.parameters()))
    rates = {group["part"]: group.get("lr") for group in made}
    assert rates == {"head": None, "upper": 1e-5}
    assert all(group["weight_decay"] == (0.1 if group["params"][0].ndim > 1 else 0.0) for group in made)


def test_norms_stand_still_while_the_rest_trains() -> None:
    net = networks.build("efficientnet_b0", 1).train()
    freezing.freeze(net.encoder, learning=2)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) > 40
    assert not any(module.training for module in norms)
    assert net.encoder.classifier.training
    assert stages(net.encoder)[-1].training
    assert not stages(net.encoder)[0].training


def test_nothing_of_the_backbone_learns_without_upper_stages() -> None:
    net = networks.build("mobilenet_v2", 1)
    freezing.freeze(net.encoder, learning=0)
    assert [name for name, weight in net.named_parameters() if weight.requires_grad] == [
        "net.classifier.1.weight",
        "net.classifier.1.bias",
    ]
    assert {group["part"] for group in groups(net, weight_decay=0, upper_stages=0, upper_rate=0)} == {"head"}
