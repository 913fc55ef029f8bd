"""The same study, bundles and configuration give the same bytes: in another process, place, zone, tongue and Python."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from node.dicom.kinds import ResultKind
from tests.support.paths import ROOT
from tests.support.results.digests import DIGESTS, digests, golden, versions

LIBRARIES = ("highdicom", "pydicom", "numpy", "matplotlib", "opencv-python-headless", "pylibjpeg-openjpeg")
_VERSIONS = (
    "import importlib.metadata as m, json, sys; "
    "print(json.dumps([sys.version_info[:2], *map(m.version, sys.argv[1:])]))"
)
OTHER = Path(os.environ.get("HILUM_OTHER_PYTHON") or Path(sys.prefix) / "other-python" / "bin" / "python")
"""Made by deploy/other-python.sh, which `make test` runs; or an interpreter of your own."""

ELSEWHERE = {
    "PYTHONHASHSEED": "77",
    "TZ": "Pacific/Kiritimati",
    "LC_ALL": "C",
    "LANG": "C",
    "OMP_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    return digests(tmp_path_factory.mktemp("here"))


def run(python: str, folder: Path, **environment: str) -> dict[str, list[str]]:
    """Encode the same requests in another process, which starts in another folder."""
    folder.mkdir()
    done = subprocess.run(
        [python, "-m", "tests.support.results.digests", str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.timeout(900)
def test_results_are_those_of_the_committed_digests():
    """A change of any byte of a result needs a commit of its own that writes the digests anew and says why."""
    committed = json.loads(DIGESTS.read_text())
    if committed["versions"] != versions():
        pytest.skip(f"the digests are of other versions: {committed['versions']}, here are {versions()}")
    found = golden()
    changed = {
        name for name in found.keys() | committed["results"].keys() if found.get(name) != committed["results"].get(name)
    }
    assert not changed


def test_every_kind_of_result_is_among_what_is_compared(here):
    assert {line.split()[0] for lines in here.values() for line in lines} == set(ResultKind)


def test_a_second_encoding_and_another_place_on_the_disk_change_nothing(here, tmp_path):
    assert digests(tmp_path) == here


def test_another_process_in_another_zone_and_tongue_gives_the_same_bytes(here, tmp_path):
    assert run(sys.executable, tmp_path / "elsewhere", **ELSEWHERE) == here


def test_another_day_gives_the_same_bytes(here, tmp_path):
    """Under libfaketime, where it is installed, the clock of the other process stands in another year."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        pytest.skip("libfaketime is not installed (Debian package libfaketime)")
    environment = {"LD_PRELOAD": str(library), "FAKETIME": "@2031-03-04 05:06:07", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    assert run(sys.executable, tmp_path / "later", **environment) == here


def test_another_version_of_python_gives_the_same_bytes(here, tmp_path):
    if not OTHER.exists():
        pytest.skip("no second version of Python was prepared (deploy/other-python.sh says why)")
    asked = subprocess.run([OTHER, "-c", _VERSIONS, *LIBRARIES], capture_output=True, text=True, check=True)
    version, *libraries = json.loads(asked.stdout)
    assert version != list(sys.version_info[:2])
    assert libraries == [importlib.metadata.version(library) for library in LIBRARIES]
    assert run(str(OTHER), tmp_path / "other") == here
