"""Bundles: weights with the manifest that says what they are, verified by digest before anything of them is used.

A bundle is a folder of `manifest.json`, `weights.safetensors`, `card.md` and `evaluation/`. The manifest lists the
SHA-256 of every other file; the bundle's digest is the SHA-256 of the manifest's bytes, so it stands for all of them.
This module imports no torch: listing bundles is fast.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.errors import BundleRefused
from models.image.inputs import InputSpec
from models.values.codes import Code
from models.values.findings import BundleIdentity
from models.volume.grid import VolumeSpec

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
CARD = "card.md"
MAX_MANIFEST_BYTES = 1 << 20
CHOSEN = "chosen"

Task = Literal["segmentation", "lesion-segmentation", "classification", "box", "detection", "volume-segmentation"]


class Part(BaseModel):
    """A part of a manifest: closed and fixed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Coded(Part):
    """A coded concept, see models/values/codes.py."""

    value: str
    scheme: str
    meaning: str

    @classmethod
    def of(cls, code: Code) -> Coded:
        """Take over a concept of models/values/codes.py."""
        return cls(value=code.value, scheme=code.scheme, meaning=code.meaning)

    def to_code(self) -> Code:
        """Give the concept as the findings carry it."""
        return Code(self.value, self.scheme, self.meaning)


class Label(Part):
    """One output of the network, in the order of its channels."""

    name: str
    """What people read."""
    code: Coded
    """The finding, or the property type of the segment."""
    laterality: Coded | None = None
    """Side of a segment."""
    colour_rgb: tuple[int, int, int] | None = None
    """Recommended display colour of a segment."""


class OperatingPoint(Part):
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


class Calibration(Part):
    """How logits become probabilities: sigmoid(logit / temperature), and then through a monotone table if there is one.

    Fitted on validation.
    """

    temperature: float = Field(gt=0)
    method: str
    isotonic: tuple[tuple[float, float], ...] | None = None
    """Pairs of sigmoid(logit / temperature) and calibrated probability, rising; linear in between."""


class Triplet(Part):
    """When a map of probabilities holds a lesion, and which pixels it covers (models/chest/lesions.py)."""

    top_threshold: float = Field(ge=0, le=1)
    """A pixel above it is a sure one."""
    minimum_area: float = Field(ge=0, le=1)
    """Least area of the sure pixels, as a part of the model grid; less is no lesion."""
    bottom_threshold: float = Field(ge=0, le=1)
    """Where there is a lesion, every pixel above it belongs to it."""
    rule: str
    """How the three were chosen."""


class DataSource(Part):
    """A data set that the weights were fitted on, with its terms."""

    name: str
    images: int
    patients: int
    licence: str
    citation: str


class Figure(Part):
    """One measured value with its 95 % bootstrap interval (None: not computed) and what it was measured on."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    count: int
    measured_on: str


class IntendedUse(Part):
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


class GateSettings(Part):
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


class Manifest(Part):
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
    postprocessing: Triplet | None = None
    """Only for lesions."""
    gated_by: str | None = None
    """Name of the classification bundle that must find the disease before this one's masks are given."""
    only_by_name: bool = False
    """Runs only where a rule names it: too often wrong for every study, yet there for those who want to look."""
    volume: VolumeSpec | None = None
    """Only for volumes, whose `input` then gives normalisation alone."""
    files: dict[str, str]
    """SHA-256, in hex, of every other file, by its path within the bundle."""

    def operating_point(self, label: str) -> OperatingPoint:
        """Give the threshold that decides about a label.

        Raises
        ------
        BundleRefused
            The manifest gives none.
        """
        for point in self.operating_points:
            if point.label == label and point.name == CHOSEN:
                return point
        raise BundleRefused(f"bundle {self.name} {self.version} has no threshold for {label}")


@dataclass(frozen=True)
class Bundle:
    """A verified bundle at `path`; `digest` is the SHA-256 of its manifest, in hex."""

    path: Path
    manifest: Manifest
    digest: str

    @property
    def identity(self) -> BundleIdentity:
        """Name, version and digest, as results carry them."""
        return BundleIdentity(self.manifest.name, self.manifest.version, self.digest)

    @property
    def weights(self) -> Path:
        """The safetensors file."""
        return self.path / WEIGHTS


def shipped() -> Path:
    """Give the folder of the bundles that come with this package."""
    return Path(__file__).parents[1] / "bundles"


def find(root: Path) -> tuple[Bundle, ...]:
    """Load every bundle directly under `root`, sorted by name and version; () where there is none.

    Raises
    ------
    BundleRefused
        One of them does not verify.
    """
    folders = sorted(path.parent for path in root.glob(f"*/{MANIFEST}"))
    return tuple(sorted((load(folder) for folder in folders), key=lambda b: (b.manifest.name, b.manifest.version)))


def load(path: Path, expected_digest: str | None = None) -> Bundle:
    """Read and verify the bundle in the folder `path`.

    Raises
    ------
    BundleRefused
        The digest is not the expected one, the manifest has an unknown key or a wrong value, or a file is missing,
        altered or not listed.
    """
    content = _read_manifest(path)
    digest = hashlib.sha256(content).hexdigest()
    if expected_digest is not None and digest != expected_digest:
        raise BundleRefused(f"bundle {path.name} has digest {digest}, {expected_digest} was expected")
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleRefused(f"manifest of {path.name}: {where}: {first['msg']}") from error
    _verify(path, manifest)
    return Bundle(path, manifest, digest)


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write the manifest with the digests of what lies in the folder; `manifest.files` is replaced."""
    files = {name: file_digest(path / name) for name in sorted(_present(path))}
    complete = manifest.model_copy(update={"files": files})
    text = json.dumps(complete.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    (path / MANIFEST).write_text(text, encoding="utf-8", newline="\n")


def file_digest(path: Path) -> str:
    """Give the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(path: Path) -> bytes:
    """Read the manifest's bytes, bounded."""
    try:
        with (path / MANIFEST).open("rb") as file:
            content = file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise BundleRefused(f"bundle {path.name} has no readable {MANIFEST}") from error
    if len(content) > MAX_MANIFEST_BYTES:
        raise BundleRefused(f"manifest of {path.name} is larger than {MAX_MANIFEST_BYTES} bytes")
    return content


def _verify(path: Path, manifest: Manifest) -> None:
    """Compare the folder with the manifest's list, both ways."""
    present = _present(path)
    for name in (WEIGHTS, CARD):
        if name not in manifest.files:
            raise BundleRefused(f"manifest of {path.name} does not list {name}")
    for name in sorted(set(manifest.files) | present):
        if name not in manifest.files:
            raise BundleRefused(f"bundle {path.name} holds {name}, which its manifest does not list")
        if name not in present:
            raise BundleRefused(f"bundle {path.name} lacks {name}")
        if file_digest(path / name) != manifest.files[name]:
            raise BundleRefused(f"{name} of bundle {path.name} is not the file that its manifest describes")


def _present(path: Path) -> set[str]:
    """List the files of a bundle but for the manifest; links are not followed out of it."""
    found = (file for file in path.rglob("*") if file.is_symlink() or file.is_file())
    names = {str(PurePosixPath(file.relative_to(path))) for file in found}
    linked = next((file for file in path.rglob("*") if file.is_symlink()), None)
    if linked is not None:
        raise BundleRefused(f"bundle {path.name} holds a link: {linked.name}")
    return names - {MANIFEST}
