"""Answers of a bundle to the images of a truth, through the code that serves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from models.bundle import intended_use, store
from models.bundle.manifest import GateSettings
from models.bundle.store import Bundle
from models.chest import gate
from models.chest.analyser import ChestAnalyser, Segmentation
from models.errors import BundleRefused
from models.image.inputs import ModelInput, prepare
from models.image.pixels import Radiograph
from models.inference.runner import Answer, Runner, run_image
from models.values.findings import Box
from models.values.patient import UNKNOWN, Patient
from training.evaluation.truths import Case

SEGMENTER = "lungs-heart"


@dataclass(frozen=True)
class Served:
    """One image as a worker meets it.

    Attributes
    ----------
    model_input
        The image on the network's grid.
    answer
        What the network says.
    accepted
        Whether the gate lets it through; None where no gate was asked.
    lungs
        The box around both lungs on the canonical grid; None where they were not looked for, or not found.
    """

    radiograph: Radiograph
    model_input: ModelInput
    answer: Answer
    accepted: bool | None
    lungs: Box | None


class Server:
    """A bundle with the dependencies that it needs in serving: who finds the lungs, who gates its masks."""

    def __init__(self, bundle: Bundle, dependencies: Path | None = None, *, with_gate: bool = True) -> None:
        self.bundle = bundle
        self.dependencies = dependencies or store.shipped()
        self.runner = Runner(bundle, device="cpu", dtype="float32")
        needed = bundle.manifest.input.region == "lungs"
        self.with_gate = needed or with_gate

    @cached_property
    def analyser(self) -> ChestAnalyser | None:
        """The gate, which also finds the lungs."""
        return ChestAnalyser.load([self.segmenter]) if self.with_gate else None

    @cached_property
    def segmenter(self) -> Bundle:
        """The bundle that finds lungs and heart; this one, if it does."""
        is_one = self.bundle.manifest.task == "segmentation"
        return self.bundle if is_one else store.named(self.dependencies, SEGMENTER)

    @cached_property
    def gatekeeper(self) -> Server | None:
        """The classifier that must find the disease first."""
        name = self.bundle.manifest.gated_by
        if name is None:
            return None
        return Server(store.named(self.dependencies, name), self.dependencies)

    def refused(self, case: Case) -> bool:
        """Return whether the intended use forbids the image; an age that the data set does not give is no reason."""
        use = self.bundle.manifest.intended_use
        age = use.age_years_from if case.age_years is None else case.age_years
        return intended_use.refusal(self.bundle, age_years=age, view=case.view) is not None

    def serve(self, radiograph: Radiograph, patient: Patient = UNKNOWN) -> Served:
        """Answer one image, of a patient of whom age and sex may be known."""
        segmentation: Segmentation | None = None
        accepted: bool | None = None
        lungs: Box | None = None
        if self.analyser is not None:
            segmentation = self.analyser.segment(radiograph)
            accepted = gate.judge(segmentation.observation, self._gate_settings()).passed
            lungs = self.analyser.lungs_of(segmentation, radiograph)
        model_input = prepare(radiograph, self.bundle.manifest.input, lungs)
        return Served(radiograph, model_input, run_image(self.runner, model_input.image, patient), accepted, lungs)

    def _gate_settings(self) -> GateSettings:
        """Return the limits of the gate."""
        settings = self.segmenter.manifest.gate
        if settings is None:
            raise BundleRefused(f"bundle {self.segmenter.manifest.name} has no gate")
        return settings
