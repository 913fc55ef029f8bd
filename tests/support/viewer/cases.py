"""The studies that go through archive, node and viewer, and what comes back of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import dcmread

from models.phantom import Phantom, Photometric, SopClass

PROFILE = "ohif"
ORIENTED = {"plane_orientation": True, "text_report": True}
OF_A_SITE = (
    {"name": "oriented-j2k", "compression": "jpeg-2000", **ORIENTED},
    {"name": "oriented-labelmap", "segmentation": "LABELMAP", **ORIENTED},
)
OTHER_PROFILES = ("strict", "compressed", "labelmap", "complete", *(str(profile["name"]) for profile in OF_A_SITE))
ROUTER, ROUTER_OF_OTHERS = "ROUTER", "OTHERS"
SOURCES = {"CR", "DX", "OT"}


@dataclass(frozen=True)
class Case:
    """One kind of source image."""

    seed: int
    rows: int
    columns: int
    options: dict[str, Any] = field(default_factory=dict)


_INVERTED = {"photometric": Photometric.MONOCHROME1}
CASES = {
    "DX 1200×1004": Case(7, 1200, 1004),
    "CR 800×1001, landscape, MONOCHROME1": Case(8, 800, 1001, {"sop_class": SopClass.CR, **_INVERTED}),
    "SC 512×450": Case(9, 512, 450, {"sop_class": SopClass.SC}),
    "DX 1201×1003": Case(6, 1201, 1003),
    "CR 2022×2022": Case(5, 2022, 2022, {"sop_class": SopClass.CR}),
    "DX 4000×3408": Case(4, 4000, 3408),
    "SC 1200×1500, landscape, MONOCHROME1": Case(3, 1200, 1500, {"sop_class": SopClass.SC, **_INVERTED}),
}


@dataclass(frozen=True)
class Answered:
    """A study that went the whole way: what was sent, and what the archive holds of the results."""

    name: str
    uid: str
    images: dict[str, Phantom]
    """By SOP Instance UID."""
    results: list[Path]

    def of(self, modality: str) -> list[Path]:
        """Return the results of a modality."""
        return [path for path in self.results if dcmread(path, stop_before_pixels=True).Modality == modality]

    @property
    def report(self) -> Path:
        """The one report."""
        (path,) = self.of("SR")
        return path
