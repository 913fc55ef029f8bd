"""DICOM peers for tests: archives and senders of others, and our own receiver, on free loopback ports.

Each is a context manager that returns when the peer answers and ends it, with everything it started, on the way out.
Where the program is not installed the test is skipped, with its name as the reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import psutil
import pytest

from node.delivery.destinations import Destination
from node.dimse.archive import reserved_port
from node.dimse.scp import receiver
from node.errors import PeerUnavailable
from node.settings import Settings
from node.spool.store import Spool
from tests.support.peers.processes import listening, process, require
from tests.support.waiting import patience

READY_TIMEOUT_S = 30.0
DICOMWEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
"""Where Debian's package orthanc-dicomweb puts the plugin."""
NO_DELAY = {"TCP_NODELAY": "1"}
"""Environment of DCMTK and Orthanc: without it Nagle's algorithm costs them 44 ms for each object."""


@dataclass(frozen=True)
class Peer:
    """A running DICOM peer."""

    ae_title: str
    port: int
    folder: Path
    """Where it keeps what it receives."""
    pid: int

    @property
    def destination(self) -> Destination:
        return Destination(ae_title=self.ae_title, host="127.0.0.1", port=self.port)


@contextlib.contextmanager
def storescp(
    folder: Path, *options: str, ae_title: str = "STORESCP", env: Mapping[str, str] | None = None
) -> Iterator[Peer]:
    """Run DCMTK's storescp; received files lie in `folder` / `objects`."""
    program, objects, log = require("storescp"), folder / "objects", folder / "storescp.log"
    objects.mkdir(parents=True)
    with reserved_port() as port:
        command = [program, "-aet", ae_title, "-od", str(objects), *options, str(port)]
        with process(command, log=log, ready=lambda: listening(port), env={**NO_DELAY, **(env or {})}) as child:
            yield Peer(ae_title, port, objects, child.pid)


@dataclass(frozen=True)
class Orthanc(Peer):
    """A running Orthanc."""

    http_port: int

    def get(self, path: str) -> Any:
        """Ask its REST interface."""
        with urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=10) as answer:
            return json.load(answer)

    def instances(self) -> list[str]:
        """Identifiers of all instances that it holds."""
        return list(self.get("/instances"))

    def files(self, study_instance_uid: str, folder: Path) -> list[Path]:
        """Fetch every object that it holds of a study into `folder`."""
        found = []
        for identifier in self.instances():
            if self.get(f"/instances/{identifier}/study")["MainDicomTags"]["StudyInstanceUID"] == study_instance_uid:
                with urlopen(f"http://127.0.0.1:{self.http_port}/instances/{identifier}/file", timeout=10) as answer:
                    path = folder / f"{identifier}.dcm"
                    path.write_bytes(answer.read())
                found.append(path)
        return found


@contextlib.contextmanager
def orthanc(
    folder: Path, *, ae_title: str = "ORTHANC", configuration: Mapping[str, Any] | None = None
) -> Iterator[Orthanc]:
    """Run Orthanc without plugins; `configuration` overrides its settings (see `dicomweb`)."""
    program = require("Orthanc")
    folder.mkdir(parents=True, exist_ok=True)
    with reserved_port() as port, reserved_port() as http_port:
        settings = _orthanc_settings(folder, ae_title, port, http_port) | dict(configuration or {})
        (folder / "orthanc.json").write_text(json.dumps(settings))

        def ready() -> bool:
            try:
                with urlopen(f"http://127.0.0.1:{http_port}/system", timeout=2):
                    return listening(port)
            except (URLError, OSError):
                return False

        command = [program, str(folder / "orthanc.json")]
        with process(command, log=folder / "orthanc.log", ready=ready, env=NO_DELAY) as child:
            yield Orthanc(ae_title, port, folder / "storage", child.pid, http_port)


def _orthanc_settings(folder: Path, ae_title: str, port: int, http_port: int) -> dict[str, Any]:
    return {
        "Name": "test",
        "DicomAet": ae_title,
        "DicomPort": port,
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "Plugins": [],
        "DicomAlwaysAllowFind": True,
        "DicomScpTimeout": 30,
        "ConcurrentJobs": 2,
        "HttpThreadsCount": 4,
    }


def dicomweb() -> dict[str, Any]:
    """Return the configuration of an Orthanc that serves DICOMweb under `/dicom-web/`; skips without the plugin."""
    if not DICOMWEB_PLUGIN.exists():
        pytest.skip("Orthanc's DICOMweb plugin is not installed (Debian package orthanc-dicomweb)")
    return {"Plugins": [str(DICOMWEB_PLUGIN)], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}}


@contextlib.contextmanager
def hilum(settings: Settings, *, single: bool = True) -> Iterator[int]:
    """Run our receiver as `hilum receive` does, and yield its port.

    `single` serves in a thread of this process; otherwise in child processes, as deployed.
    """
    stop, ready, ports, failures = threading.Event(), threading.Event(), list[int](), list[BaseException]()
    spool = Spool.create(settings.home / "spool")

    def serve() -> None:
        try:
            receiver.run(
                settings, spool, stop=stop, single=single, ready=lambda port: (ports.append(port), ready.set())
            )
        except BaseException as error:
            failures.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=serve, name="receiver")
    thread.start()
    try:
        assert ready.wait(READY_TIMEOUT_S * patience())
        if failures:
            raise failures[0]
        yield ports[0]
    finally:
        stop.set()
        thread.join(READY_TIMEOUT_S * patience())
        spool.close()
    assert not thread.is_alive()
    if failures:
        raise failures[0]


def receiver_processes() -> list[psutil.Process]:
    """List the receiver processes that this process has started with `hilum(..., single=False)`."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is one too
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def storescu(
    port: int,
    files: Sequence[Path],
    *options: str,
    called_ae_title: str = "HILUM",
    calling_ae_title: str = "STORESCU",
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Send files with DCMTK's storescu; `-R` proposes only what they need."""
    command = [require("storescu"), "-v", "-to", "30", "-ta", "30", "-td", "30", "-R"]
    command += ["-aec", called_ae_title, "-aet", calling_ae_title, *options, "127.0.0.1", str(port)]
    done = subprocess.run(
        [*command, *map(str, files)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **NO_DELAY},
        timeout=120 * patience(),
    )
    if check and done.returncode != 0:
        raise AssertionError(f"storescu: {done.stdout[-1000:]} {done.stderr[-1000:]}")
    return done


def reachable(destination: Destination) -> bool:
    """Tell whether a peer answers C-ECHO."""
    from node.dimse.scu import verification

    try:
        verification.echo(destination, calling_ae_title="TEST", timeout_s=5)
    except PeerUnavailable:
        return False
    return True
