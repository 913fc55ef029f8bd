"""What a manifest says of where weights began."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from models.bundle import store
from training.fit import origin


def test_a_file_tells_its_own_terms(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"licence": "Apache-2.0", "source": "someone"})
    (found,) = origin.of(str(path))
    assert (found.name, found.licence) == ("net (initial weights of the encoder)", "Apache-2.0")
    assert (found.citation, found.images) == ("someone", 0)


def test_weights_by_name_bundles_and_nothing(tmp_path: Path) -> None:
    (named,) = origin.of("torchvision:resnet18")
    assert named.name.startswith("torchvision resnet18")
    shipped = next(one for one in store.find(store.shipped()) if one.manifest.name == "pneumothorax")
    (found,) = origin.of(str(shipped.path))
    assert found.licence == shipped.manifest.licence
    assert origin.of("random") == ()
    assert origin.noted(tmp_path) == ()


def test_a_run_hands_on_where_its_own_weights_began(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    origin.note(first, ("timm:resnet18", None))
    (first / "recipe.yaml").write_text("name: many\ndata: {sources: [siim, nih], split: nih}\n")
    origin.note(second, (str(first),))
    names = [one.name.split(" (")[0] for one in origin.noted(second)]
    assert names == ["training many", "timm resnet18"]
    assert "siim, nih" in origin.noted(second)[0].licence
