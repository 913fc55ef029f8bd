"""What a bundle says about itself (`manifest.json`): closed and fixed parts, whose unknown keys are refused.

Finding, verifying and writing bundles on disk is the work of models/bundle/store.py.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.errors import BundleRefused
from models.image.inputs import InputSpec
from models.values.codes import Code

CHOSEN = "chosen"

Task = Literal["segmentation", "lesion-segmentation", "classification", "box", "detection", "volume-segmentation"]


class ManifestPart(BaseModel):
    """A part of a manifest: closed and fixed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Coded(ManifestPart):
    """A coded concept, see models/values/codes.py."""

    value: str
    scheme: str
    meaning: str

    @classmethod
    def of(cls, code: Code) -> Coded:
        """Take over a concept of models/values/codes.py."""
        return cls(value=code.value, scheme=code.scheme, meaning=code.meaning)

    def to_code(self) -> Code:
        """Return the concept as the findings carry it."""
        return Code(self.value, self.scheme, self.meaning)


class Label(ManifestPart):
    """One output of the network, in the order of its channels."""

    name: str
    """What people read."""
    code: Coded
    """The finding, or the property type of the segment."""
    laterality: Coded | None = None
    """Side of a segment."""
    colour_rgb: tuple[int, int, int] | None = None
    """Recommended display colour of a segment."""


class OperatingPoint(ManifestPart):
    """The threshold of one label and how it was chosen."""

    label: str
    threshold: float = Field(ge=0, le=1)
    rule: str
    name: str = CHOSEN
    """"chosen" decides; the others say what other thresholds would give."""
    doubt: tuple[float, float] | None = None
    """Range about the threshold in which the same rule puts it on other samples of the images that it was chosen on.
    None: the threshold was not chosen by data, or the range was not computed."""
    doubt_rule: str | None = None
    """How the range was found and how many images lie within; None where there is no range."""

    @model_validator(mode="after")
    def _in_doubt(self) -> OperatingPoint:
        """Refuse a range that does not hold the threshold."""
        if self.doubt is not None and not 0 <= self.doubt[0] <= self.threshold <= self.doubt[1] <= 1:
            raise ValueError(f"doubt {self.doubt} must lie within 0 to 1 and hold the threshold {self.threshold}")
        return self


class Calibration(ManifestPart):
    """How logits become probabilities: sigmoid(logit / temperature), and then through a monotone table if there is one.

    Fitted on validation.
    """

    temperature: float = Field(gt=0)
    method: str
    isotonic: tuple[tuple[float, float], ...] | None = None
    """Pairs of sigmoid(logit / temperature) and calibrated probability, rising; linear in between."""


class HysteresisThreshold(ManifestPart):
    """When a map of probabilities holds a lesion, and which pixels it covers (models/chest/lesions.py)."""

    top_threshold: float = Field(ge=0, le=1)
    """A pixel above it is a sure one."""
    minimum_area: float = Field(ge=0, le=1)
    """Least area of the sure pixels, as a part of the model grid; less is no lesion."""
    bottom_threshold: float = Field(ge=0, le=1)
    """Where there is a lesion, every pixel above it belongs to it."""
    rule: str
    """How the three were chosen."""


class DataSource(ManifestPart):
    """A data set that the weights were fitted on, with its terms."""

    name: str
    images: int
    patients: int
    licence: str
    citation: str


class Figure(ManifestPart):
    """One measured value with its 95 % bootstrap interval (None: not computed) and what it was measured on."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    count: int
    measured_on: str


class IntendedUse(ManifestPart):
    """For whom and what the bundle may be asked; research use only."""

    statement: str
    age_years_from: float
    """Youngest age, inclusive."""
    age_years_below: float | None
    """First age that is too old; None: no limit."""
    age_unknown_allowed: bool
    views: tuple[str, ...]
    """Values of View Position that are accepted; an unknown view is judged by the gate."""
    research_use_only: Literal[True] = True
    translations: dict[str, str] = {}
    """The statement in other languages, by their tag (RFC 5646): `de`, `fr`. Results in a language that is not among
    them have the statement itself."""


class GateSettings(ManifestPart):
    """Limits of the gate (models/chest/gate.py), on masks of the model grid and on encoder features."""

    lung_area_part: tuple[float, float]
    """Smallest and largest area of either lung as a part of the picture."""
    lungs_area_part: tuple[float, float]
    """The same of both lungs together."""
    smaller_to_larger_area: float
    """Least ratio of the areas of the two lungs."""
    horizontal_separation: float
    """Least distance of the lungs' centres as a part of the width of both."""
    vertical_overlap: float
    """Least common height of the lungs as a part of the shorter one."""
    solidity: float
    """Least area of a lung as a part of its convex hull."""
    largest_piece: float
    """Least part of a lung's mask that lies in one piece."""
    confidence: float
    """Least mean probability within the lungs."""
    feature_distance: float
    """Largest distance of the encoder's features from those of known frontal chests."""
    rule: str
    """How the limits were chosen."""


class VolumeSpec(ManifestPart):
    """How a volume is given to a network, part of a manifest."""

    spacing_mm: tuple[float, float, float]
    """Edges of a voxel of the model grid: slice, row, column."""
    window: tuple[int, int, int]
    """What the network answers at once, in voxels; a larger volume is covered by overlapping windows."""
    context: int = Field(default=0, ge=0, le=4)
    """Slices on either side that the network sees besides; 0 for 3-D networks, 1 for the 2-D one."""
    overlap: float = Field(default=0.5, ge=0.0, lt=1.0)
    """Least part of a window that the next one repeats."""
    field_mm: tuple[float, float, float]
    """Largest extent of a volume of the training data. More than that the network has not seen."""
    source_spacing_mm: tuple[float, float, float]
    """Voxels of the training data before resampling; their files carry none, see the card."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Voxels of the network's input: the window and its context."""
        return (self.window[0] + 2 * self.context, self.window[1], self.window[2])


class Manifest(ManifestPart):
    """What a bundle says about itself."""

    format: Literal["hilum-bundle-1"] = "hilum-bundle-1"
    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$", max_length=16)
    task: Task
    """"segmentation" is lungs and heart, with the gate; masks of a disease are "lesion-segmentation"."""
    architecture: str
    input: InputSpec
    labels: tuple[Label, ...] = Field(min_length=1)
    operating_points: tuple[OperatingPoint, ...]
    calibration: Calibration
    training_data: tuple[DataSource, ...]
    licence: str
    """Terms of the weights, which follow from those of the data."""
    non_commercial: bool
    """Whether any training data forbid commercial use."""
    evaluation: tuple[Figure, ...]
    intended_use: IntendedUse
    gate: GateSettings | None = None
    """Only in the bundle whose network the gate looks through."""
    postprocessing: HysteresisThreshold | None = None
    """Only for lesions."""
    gated_by: str | None = None
    """Name of the classification bundle that must find the disease before this one's masks are given."""
    only_by_name: bool = False
    """Runs only where a rule names it: too often wrong for every study, yet there for those who want to look."""
    volume: VolumeSpec | None = None
    """Only for volumes, whose `input` then gives normalisation alone."""
    files: dict[str, str]
    """SHA-256, in hex, of every other file, by its path within the bundle."""

    @property
    def version_numbers(self) -> tuple[int, ...]:
        """The version as numbers, which compare: 1.10.0 is later than 1.9.0."""
        return tuple(int(part) for part in self.version.split("."))

    def operating_point(self, label: str) -> OperatingPoint:
        """Return the threshold that decides about a label.

        Raises
        ------
        BundleRefused
            The manifest gives none.
        """
        for point in self.operating_points:
            if point.label == label and point.name == CHOSEN:
                return point
        raise BundleRefused(f"bundle {self.name} {self.version} has no threshold for {label}")
