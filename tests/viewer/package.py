"""The viewer's files: npm's @ohif/app at one version, kept in the user's cache.

The package is packed, not installed: its `dist` is complete, and the hundreds of packages it was built from are not
needed.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

from tests.peers import require

NAME = "@ohif/app"
VERSION = "3.13.2"
SHA512 = "WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
DOWNLOAD_S = 240


def dist() -> Path:
    """Return the folder of the built viewer; skips where npm is missing or cannot fetch it.

    Raises
    ------
    AssertionError
        What npm gave is not the package that is pinned here.
    """
    folder = _cache() / f"ohif-app-{VERSION}"
    if not folder.exists():
        _fetch(folder)
    return folder / "dist"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hilum"


def _fetch(folder: Path) -> None:
    """Pack, compare, unpack beside, rename: another test run sees the whole folder or none."""
    npm = require("npm")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        aside = Path(made)
        command = [npm, "pack", f"{NAME}@{VERSION}", "--pack-destination", made]
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=DOWNLOAD_S, cwd=made)
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm could not fetch {NAME}@{VERSION} within {DOWNLOAD_S} s")
        if done.returncode != 0:
            said = [line for line in done.stderr.splitlines() if "error" in line]
            pytest.skip(f"npm could not fetch {NAME}@{VERSION}: {' '.join(said[:1])}")
        (archive,) = aside.glob("*.tgz")
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        assert digest == SHA512, f"{NAME}@{VERSION} is not the package that is pinned here"
        with tarfile.open(archive) as packed:
            packed.extractall(aside, filter="data")
        if not folder.exists():
            shutil.move(aside / "package", folder)
