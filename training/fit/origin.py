"""Where the initial weights of a run come from: noted when it starts, and told in the manifest of its bundle."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import yaml
from safetensors import safe_open

from models.bundle import store
from models.bundle.manifest import DataSource

FILE = "origin.json"
# What the weights by name of both libraries were trained on.
IMAGENET_TERMS = "terms of the library's weights; ImageNet images: non-commercial research"


def note(run: Path, sources: Iterable[str | None]) -> None:
    """Write into the folder of a run where its weights began; `sources` as training/fit/initial.py takes them."""
    found = [one.model_dump() for source in sources if source is not None for one in of(source)]
    (run / FILE).write_text(json.dumps(found, indent=1) + "\n")


def noted(run: Path) -> tuple[DataSource, ...]:
    """Return what was noted; nothing for a run that began at random."""
    path = run / FILE
    return tuple(DataSource.model_validate(one) for one in json.loads(path.read_text())) if path.exists() else ()


def of(source: str) -> tuple[DataSource, ...]:
    """Describe initial weights, with what they themselves began from; () for random ones."""
    library, by_name, name = source.partition(":")
    path = Path(source)
    if by_name and library in ("torchvision", "timm"):
        said = f"weights of {library}, pre-trained on ImageNet-1k unless the name says otherwise"
        return (_weights(f"{library} {name}", IMAGENET_TERMS, said),)
    if path.is_file():
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        return (_weights(path.stem, metadata.get("licence", "as its owner states"), metadata.get("source", "a file")),)
    if (path / store.MANIFEST).is_file():
        manifest = store.load(path).manifest
        return (_weights(f"bundle {manifest.name} {manifest.version}", manifest.licence, "its training_data"),)
    if (path / "recipe.yaml").is_file():
        recipe = yaml.safe_load((path / "recipe.yaml").read_text())
        sets = ", ".join(recipe["data"]["sources"])
        own = _weights(f"training {recipe['name']}", f"that of its data sets ({sets})", "a training of this project")
        return (own, *noted(path))
    return ()


def _weights(name: str, licence: str, citation: str) -> DataSource:
    """Describe weights, which are no images."""
    return DataSource(
        name=f"{name} (initial weights of the encoder)", images=0, patients=0, licence=licence, citation=citation
    )
