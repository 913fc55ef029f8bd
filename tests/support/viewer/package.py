"""Packages of npm, kept in the user's cache: the viewer's files, and the loader of Segmentations that it uses.

The viewer, @ohif/app, is packed, not installed: its `dist` is complete, and the hundreds of packages it was built from
are not needed. The loader, @cornerstonejs/adapters, is installed with what it imports, as `adapters/package-lock.json`
pins it: 103 packages, 113 MB, no scripts run.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.peers.processes import require

NAME = "@ohif/app"
VERSION = "3.13.2"
SHA512 = "WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
ADAPTERS = Path(__file__).with_name("adapters")
DOWNLOAD_S = 240


def dist() -> Path:
    """Return the folder of the built viewer; skips where npm is missing or cannot fetch it.

    Raises
    ------
    AssertionError
        What npm gave is not the package that is pinned here.
    """
    return _kept(f"ohif-app-{VERSION}", _pack) / "dist"


def adapters() -> Path:
    """Return the folder `node_modules` of the loader; skips where npm is missing or cannot fetch it.

    Raises
    ------
    AssertionError
        What npm gave is not what the lock file pins.
    """
    lock = (ADAPTERS / "package-lock.json").read_bytes()
    return _kept(f"cornerstone-adapters-{hashlib.sha256(lock).hexdigest()[:16]}", _install) / "node_modules"


def adapters_version() -> str:
    """Return the version of the loader that is pinned."""
    pinned = json.loads((ADAPTERS / "package.json").read_text(encoding="utf-8"))
    return str(pinned["dependencies"]["@cornerstonejs/adapters"])


def _kept(name: str, make: Callable[[Path], Path]) -> Path:
    """Return a folder of the cache; made beside and renamed, so that another test run sees the whole of it or none."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hilum"
    folder = cache / name
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as aside:
            made = make(Path(aside))
            if not folder.exists():
                shutil.move(made, folder)
    return folder


def _pack(aside: Path) -> Path:
    """Pack the viewer, compare it, and unpack it."""
    _npm("pack", f"{NAME}@{VERSION}", "--pack-destination", str(aside), what=f"{NAME}@{VERSION}", cwd=aside)
    (archive,) = aside.glob("*.tgz")
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert digest == SHA512, f"{NAME}@{VERSION} is not the package that is pinned here"
    with tarfile.open(archive) as packed:
        packed.extractall(aside, filter="data")
    return aside / "package"


def _install(aside: Path) -> Path:
    """Install what the lock file pins; npm compares the digests."""
    made = aside / "adapters"
    made.mkdir()
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(ADAPTERS / name, made)
    _npm("ci", "--ignore-scripts", "--omit=dev", what="the adapters' packages", cwd=made)
    return made


def _npm(*arguments: str, what: str, cwd: Path) -> None:
    """Run npm; skips where it cannot fetch."""
    npm = require("npm")
    try:
        done = subprocess.run(
            [npm, *arguments], check=False, capture_output=True, text=True, timeout=DOWNLOAD_S, cwd=cwd
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm could not fetch {what} within {DOWNLOAD_S} s")
    assert "EINTEGRITY" not in done.stderr, f"{what}: not what is pinned here: {done.stderr}"
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if "error" in line]
        pytest.skip(f"npm could not fetch {what}: {' '.join(said[:1])}")
