"""Bundles on disk: weights with the manifest that says what they are, verified by digest before anything is used.

A bundle is a folder of `manifest.json`, `weights.safetensors`, `card.md` and `evaluation/`. The manifest lists the
SHA-256 of every other file; the bundle's digest is the SHA-256 of the manifest's bytes, so it stands for all of them.
This module imports no torch: listing bundles is fast.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from models.bundle.manifest import Manifest
from models.errors import BundleRefused
from models.values.findings import BundleIdentity

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
CARD = "card.md"
MAX_MANIFEST_BYTES = 1 << 20


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
    """Return the folder of the bundles that come with this package."""
    return Path(__file__).parents[1] / "bundles"


def find(root: Path) -> tuple[Bundle, ...]:
    """Load every bundle directly under `root`, sorted by name and then by version as numbers; () where there is none.

    Raises
    ------
    BundleRefused
        One of them does not verify.
    """
    folders = sorted(path.parent for path in root.glob(f"*/{MANIFEST}"))
    return tuple(
        sorted((load(folder) for folder in folders), key=lambda b: (b.manifest.name, b.manifest.version_numbers))
    )


def named(root: Path, name: str) -> Bundle:
    """Return the bundle of this name directly under `root`. Which of two versions is meant is never guessed.

    Raises
    ------
    BundleRefused
        None has this name, or two versions have it, or a bundle under `root` does not verify.
    """
    found = find(root)
    versions = [bundle for bundle in found if bundle.manifest.name == name]
    if not versions:
        known = ", ".join(dict.fromkeys(bundle.manifest.name for bundle in found)) or "none"
        raise BundleRefused(f"no bundle named {name} in {root}; there are: {known}")
    if len(versions) > 1:
        listed = ", ".join(bundle.manifest.version for bundle in versions)
        raise BundleRefused(
            f"{len(versions)} versions of bundle {name} in {root} ({listed}): keep the one that is to run"
        )
    return versions[0]


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
    """Return the SHA-256 of a file, in hex."""
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
