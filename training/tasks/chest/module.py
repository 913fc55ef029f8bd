"""The Lightning modules: a network with its loss, its optimiser and its validation score."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional

from models import networks
from models.networks.patient import WithPatient
from training.data import masks
from training.fit import schedules
from training.fit.loop import SCORE
from training.fit.losses import combo_loss, deep_loss, label_loss, positive_weights, segmentation_loss
from training.tasks.chest.data import FindingItem, LabelItem, MaskItem
from training.tasks.chest.recipe import ChestRecipe


class ChestModule(lightning.LightningModule):
    """What all have in common: the network, the optimiser and its schedule."""

    def __init__(self, recipe: ChestRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.net = networks.build(recipe.architecture, len(recipe.labels)).to(memory_format=torch.channels_last)

    def forward(self, image: Tensor, patient: Tensor | None = None) -> Any:
        """Run the network on images (batch, 1, size, size) in [0, 1].

        A network that may be told age and sex gets `patient` (batch, 2), see models/networks/patient.py.
        """
        spec = self.recipe.input
        given = networks.three_channels(image, scale=spec.scale, offset=spec.offset)
        return self.net(given, patient) if isinstance(self.net, WithPatient) else self.net(given)

    def configure_optimizers(self) -> Any:
        """Return AdamW without decay on norms and biases, and the schedule of the recipe."""
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        return schedules.configured(self.net, self.recipe.optimisation, self.recipe.tuning, steps=steps)


class SegmentationModule(ChestModule):
    """Lungs and heart; the score is the mean Dice of both lungs and the heart on the model grid."""

    def training_step(self, batch: MaskItem, index: int) -> Tensor:
        """Return the loss of one batch."""
        logits = self(batch["image"]).logits
        loss = segmentation_loss(logits, batch["masks"], batch["weights"], torch.as_tensor(batch["kind"]))
        self.log("train_loss", loss, prog_bar=True, on_epoch=True, on_step=False, batch_size=len(logits))
        return loss

    def validation_step(self, batch: MaskItem, index: int) -> None:
        """Record Dice; the masks are covered parts, so half a pixel is in."""
        logits = self(batch["image"]).logits
        found, truth = logits > 0, batch["masks"] >= 0.5
        overlap = (found & truth).sum(dim=(2, 3))
        dice = (2 * overlap / (found.sum(dim=(2, 3)) + truth.sum(dim=(2, 3))).clamp(min=1)).mean(dim=0)
        for label, value in zip(self.recipe.labels, dice, strict=True):
            self.log(f"val_dice_{label}", value, on_epoch=True, batch_size=len(logits))
        self.log(SCORE, dice.mean(), prog_bar=True, on_epoch=True, batch_size=len(logits))


class ClassificationModule(ChestModule):
    """Independent labels; the score is the validation cross-entropy, negated."""

    positive_weight: Tensor

    def __init__(self, recipe: ChestRecipe) -> None:
        super().__init__(recipe)
        self.validated: list[tuple[Tensor, Tensor]] = []
        self.register_buffer("positive_weight", torch.ones(len(recipe.labels)), persistent=False)

    def on_train_start(self) -> None:
        """Count the classes of the training split, where the recipe weights them."""
        loader = self.trainer.train_dataloader
        if self.recipe.label_loss.class_weights and loader is not None:
            self.positive_weight.copy_(positive_weights(loader.dataset.labels))

    def training_step(self, batch: LabelItem, index: int) -> Tensor:
        """Return the loss of one batch."""
        loss = label_loss(
            self(batch["image"], batch["patient"]).logits,
            batch["labels"],
            positive_weight=self.positive_weight,
            gamma=self.recipe.label_loss.focal_gamma,
        )
        self.log("train_loss", loss, prog_bar=True, on_epoch=True, on_step=False, batch_size=len(batch["image"]))
        return loss

    def validation_step(self, batch: LabelItem, index: int) -> None:
        """Collect logits."""
        self.validated.append((self(batch["image"], batch["patient"]).logits.float(), batch["labels"]))

    def on_validation_epoch_end(self) -> None:
        """Record cross-entropy and the mean AUC of the labels that have both classes."""
        logits, labels = (torch.cat(part) for part in zip(*self.validated, strict=True))
        self.validated.clear()
        self.log(SCORE, -label_cross_entropy(logits, labels), prog_bar=True)
        self.log("val_auc", mean_auc(logits, labels), prog_bar=True)


class FindingsModule(ChestModule):
    """Many findings at once, some with their place; the score is the mean validation AUC of the selected ones."""

    label_weight: Tensor

    def __init__(self, recipe: ChestRecipe) -> None:
        super().__init__(recipe)
        if recipe.findings is None:
            raise ValueError(f"recipe {recipe.name} has no section `findings`")
        self.parts = recipe.findings
        self.validated: list[tuple[Tensor, Tensor]] = []
        chosen = [self.parts.selected_weight if name in self.parts.selected else 1.0 for name in recipe.labels]
        self.register_buffer("label_weight", torch.tensor(chosen), persistent=False)
        self.located = [
            (recipe.labels.index(name), place) for name, place in masks.LOCATED.items() if name in recipe.labels
        ]

    def training_step(self, batch: FindingItem, index: int) -> Tensor:
        """Return the loss of one batch: labels, and places where the network has maps."""
        out = self(batch["image"], batch["patient"])
        loss = weighted_cross_entropy(out.logits.float(), batch["labels"], self.label_weight)
        if out.maps is not None and self.parts.place_weight:
            places = self._place_loss(out.maps.float(), batch)
            self.log("train_place", places, on_epoch=True, on_step=False, batch_size=len(batch["image"]))
            loss = loss + self.parts.place_weight * places
        self.log("train_loss", loss, prog_bar=True, on_epoch=True, on_step=False, batch_size=len(batch["image"]))
        return loss

    def _place_loss(self, maps: Tensor, batch: FindingItem) -> Tensor:
        """Return the cross-entropy of the maps against the coarse masks, where these are known."""
        target = functional.adaptive_max_pool2d(batch["masks"], maps.shape[-2:]).round()
        total = maps.sum() * 0
        for label, place in self.located:
            known = batch["known"][:, place, None, None].expand_as(target[:, place])
            weight = known * (1 + (self.parts.place_positive_weight - 1) * target[:, place])
            each = functional.binary_cross_entropy_with_logits(maps[:, label], target[:, place], reduction="none")
            total = total + (each * weight).sum() / weight.sum().clamp(min=1)
        return total

    def validation_step(self, batch: FindingItem, index: int) -> None:
        """Collect logits."""
        self.validated.append((self(batch["image"], batch["patient"]).logits.float(), batch["labels"]))

    def on_validation_epoch_end(self) -> None:
        """Record the AUC of each label and the mean of the selected ones."""
        logits, labels = (torch.cat(part) for part in zip(*self.validated, strict=True))
        self.validated.clear()
        chosen = [self.recipe.labels.index(name) for name in self.parts.selected]
        for column in chosen:
            self.log(f"val_auc_{self.recipe.labels[column]}", mean_auc(logits[:, [column]], labels[:, [column]]))
        self.log("val_loss", weighted_cross_entropy(logits, labels, self.label_weight))
        self.log(SCORE, mean_auc(logits[:, chosen], labels[:, chosen]), prog_bar=True)


class LesionModule(ChestModule):
    """Masks of one disease; the score is the mean Dice of the validation images that have it, at 0.5.

    The Dice of an image without a lesion is undefined; `val_silent` is the part of these that stays empty.
    """

    def __init__(self, recipe: ChestRecipe) -> None:
        super().__init__(recipe)
        if recipe.lesions is None:
            raise ValueError(f"recipe {recipe.name} has no section `lesions`")
        self.parts = recipe.lesions
        self.place = masks.LOCATED[recipe.labels[0]]
        self.dice: list[Tensor] = []
        self.silent: list[Tensor] = []

    def training_step(self, batch: FindingItem, index: int) -> Tensor:
        """Return the loss of one batch."""
        target = batch["masks"][:, [self.place]]
        loss = deep_loss(self(batch["image"]), lambda logits: self._loss(logits, target), share=self.parts.deep_share)
        self.log("train_loss", loss, prog_bar=True, on_epoch=True, on_step=False, batch_size=len(target))
        return loss

    def _loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of some masks."""
        parts = self.parts
        return combo_loss(
            logits,
            target,
            cross_entropy=parts.cross_entropy,
            dice=parts.dice,
            focal=parts.focal,
            positive_weight=parts.positive_weight,
        )

    def validation_step(self, batch: FindingItem, index: int) -> None:
        """Collect the Dice of images with a lesion, and the silence of those without."""
        found = self(batch["image"]).logits[:, 0] > 0
        truth = batch["masks"][:, self.place] >= 0.5
        overlap = 2.0 * (found & truth).sum(dim=(1, 2)) / (found.sum(dim=(1, 2)) + truth.sum(dim=(1, 2))).clamp(min=1)
        positive = truth.any(dim=2).any(dim=1)
        self.dice.append(overlap[positive])
        self.silent.append((~found.any(dim=2).any(dim=1)).float()[~positive])

    def on_validation_epoch_end(self) -> None:
        """Record both means."""
        dice, silent = torch.cat(self.dice), torch.cat(self.silent)
        self.dice.clear()
        self.silent.clear()
        self.log("val_silent", silent.mean() if len(silent) else float("nan"))
        self.log(SCORE, dice.mean() if len(dice) else 0.0, prog_bar=True)


def module_of(recipe: ChestRecipe) -> ChestModule:
    """Make the Lightning module of a recipe."""
    match recipe.task:
        case "segmentation":
            return SegmentationModule(recipe)
        case "classification":
            return ClassificationModule(recipe)
        case "findings":
            return FindingsModule(recipe)
        case "lesion-segmentation":
            return LesionModule(recipe)
    raise ValueError(f"no training for the task {recipe.task}")


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """Average binary cross-entropy over the labels that are not NaN, each label with its weight."""
    known = (~labels.isnan()).float() * weight
    each = functional.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1e-6)


def label_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Average binary cross-entropy over the labels that are not NaN."""
    known = ~labels.isnan()
    if not known.any():
        return logits.sum() * 0
    return functional.binary_cross_entropy_with_logits(logits[known], labels[known])


def mean_auc(logits: Tensor, labels: Tensor) -> float:
    """Average the AUC over labels with known positives and negatives; NaN where there is none."""
    values: list[float] = []
    for column in range(labels.shape[1]):
        known = ~labels[:, column].isnan()
        truth = labels[known, column]
        if 0 < truth.sum() < len(truth):
            values.append(float(roc_auc_score(truth.cpu(), logits[known, column].cpu())))
    return sum(values) / len(values) if values else float("nan")
