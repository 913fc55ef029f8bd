"""OHIF's loader of Segmentations without OHIF: npm's @cornerstonejs/adapters in Node, at the version OHIF was built of.

Node is started once for many Segmentations. What stands in for the browser, and for OHIF's metadata, is in `adapters/`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.peers.processes import require
from tests.support.peers.readers import Masks
from tests.support.viewer import package

OHIF, BUFFER = "ohif", "buffer"
"""Ways of loading: as OHIF does, or by the adapters' own decoder, which OHIF does not use (`adapters/loader.mjs`)."""
LOAD_S = 240


@dataclass(frozen=True)
class Case:
    """A Segmentation over the images of the series that it refers to, as Part 10 files."""

    images: tuple[Path, ...]
    segmentation: Path
    shape: tuple[int, int]
    """Rows and columns."""
    way: str = OHIF


@dataclass(frozen=True)
class Loaded:
    """What came of a Segmentation."""

    masks: tuple[Masks, ...] = ()
    """For each image, by Segment Number; a segment without a pixel in an image is not in it."""
    labels: Mapping[int, str] = field(default_factory=dict)
    """Segments by their place in the list from which OHIF takes name and colour of the segment with this number."""
    refusal: str = ""
    """What the loader threw, where it did."""


def load(cases: Sequence[Case], folder: Path) -> list[Loaded]:
    """Load Segmentations in one process, in an empty folder; return what came of each.

    Skips where Node or the packages are missing and cannot be fetched.

    Raises
    ------
    AssertionError
        Node failed.
    """
    node, modules, out = require("node"), package.adapters(), folder / "loaded"
    # Node looks for packages beside the program.
    for program in package.ADAPTERS.glob("*.mjs"):
        shutil.copy(program, folder)
    (folder / "node_modules").symlink_to(modules)
    out.mkdir()
    given = [
        {"images": [str(path) for path in case.images], "segmentation": str(case.segmentation), "way": case.way}
        for case in cases
    ]
    (folder / "cases.json").write_text(json.dumps(given), encoding="utf-8")
    command = [node, str(folder / "loader.mjs"), str(folder / "cases.json"), str(out)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=LOAD_S)
    assert done.returncode == 0, done.stderr
    answers = json.loads((out / "loaded.json").read_text(encoding="utf-8"))
    return [_loaded(said, case, out) for case, said in zip(cases, answers, strict=True)]


def _loaded(said: dict[str, Any], case: Case, folder: Path) -> Loaded:
    if "error" in said:
        return Loaded(refusal=said["error"])
    masks: tuple[Masks, ...] = tuple({} for _ in case.images)
    # Segments that overlap are spread over several label maps of the same image.
    for layer in said["labelMaps"]:
        for found, name in zip(masks, layer, strict=True):
            numbers = np.frombuffer((folder / name).read_bytes(), np.uint8).reshape(case.shape)
            for number in np.unique(numbers[numbers > 0]):
                mask = numbers == number
                found[int(number)] = found[int(number)] | mask if int(number) in found else mask
    return Loaded(masks, {int(place): label for place, label in said["labels"].items()})
