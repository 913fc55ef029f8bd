"""How fast images are taken in: ours beside DCMTK's storescp and Orthanc, on this machine, in one run.

    python -m tests.bench.ingest [--short] [--repeats N] [--only hilum,orthanc]

Every receiver gets the same files from the same sender (DCMTK's storescu, one process for each association, TCP_NODELAY
for all), starts on an empty folder each time, and takes its turn within every repeat, so that what else the machine
does hits all alike. Ours runs as deployed: two processes, every object synced to the disk before Success. storescp
never syncs, Orthanc does. The table goes to standard output and to bench-output/ingest.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from node.settings import Settings
from tests.support.peers import servers
from tests.support.peers.processes import require

OUTPUT = Path("bench-output")
DX = "1.2.840.10008.5.1.4.1.1.1.1"
AE_TITLE = "HILUM"


@dataclass(frozen=True)
class Load:
    """What is sent in one run."""

    name: str
    rows: int
    columns: int
    files: int
    """Files of one run, shared out to the associations."""


LOADS = (
    Load("10 MB", 2500, 2000, 32),
    Load("2 MB", 1024, 1024, 96),
    Load("0.5 MB", 512, 512, 192),
)
ASSOCIATIONS = (1, 4, 8)


@contextmanager
def _hilum(folder: Path) -> Iterator[int]:
    settings = Settings(
        home=folder, log_level="error", receiver={"port": 0, "processes": 2}, spool={"minimum_free_bytes": 1 << 30}
    )
    with servers.hilum(settings, single=False) as port:
        yield port


@contextmanager
def _storescp(folder: Path, *options: str) -> Iterator[int]:
    with servers.storescp(folder, *options, ae_title=AE_TITLE) as peer:
        yield peer.port


@contextmanager
def _orthanc(folder: Path) -> Iterator[int]:
    with servers.orthanc(folder, ae_title=AE_TITLE) as peer:
        yield peer.port


RECEIVERS: Mapping[str, Callable[[Path], AbstractContextManager[int]]] = {
    "Hilum (2 processes, fsync)": _hilum,
    "Orthanc (default, fsync)": _orthanc,
    "storescp +B -pdu 131072 --fork": lambda folder: _storescp(folder, "+B", "-pdu", "131072", "--fork"),
    "storescp (default)": lambda folder: _storescp(folder, "--fork"),
}


def make_files(folder: Path, load: Load, generator: np.random.Generator) -> list[Path]:
    """Write DX images of noise, each with UIDs of its own."""
    folder.mkdir()
    study, series = generate_uid(), generate_uid()
    paths = []
    for number in range(load.files):
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = DX, generate_uid()
        ds.PatientName, ds.PatientID, ds.Modality = "BENCH", "BENCH", "DX"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.InstanceNumber = study, series, number
        ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = (
            load.rows,
            load.columns,
            1,
            "MONOCHROME2",
        )
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        ds.PixelData = generator.integers(0, 4096, (load.rows, load.columns), dtype=np.uint16).tobytes()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        paths.append(folder / f"{number}.dcm")
        ds.save_as(paths[-1], enforce_file_format=True)
    return paths


def send(port: int, files: Sequence[Path], associations: int) -> float:
    """Send files over several associations at once, and give back the images per second."""
    command = [require("storescu"), "-R", "-pdu", "131072", "-aec", AE_TITLE, "127.0.0.1", str(port)]
    environment = {**os.environ, **servers.NO_DELAY}
    begun = time.perf_counter()
    children = [
        subprocess.Popen([*command, *map(str, files[k::associations])], env=environment) for k in range(associations)
    ]
    codes = [child.wait() for child in children]
    seconds = time.perf_counter() - begun
    if any(codes):
        raise RuntimeError(f"storescu ended with {codes}")
    return len(files) / seconds


def run(*, loads: Sequence[Load], associations: Sequence[int], repeats: int, only: Sequence[str], work: Path) -> str:
    """Measure, and give back a Markdown table of medians."""
    generator = np.random.default_rng(1)
    receivers = {n: f for n, f in RECEIVERS.items() if not only or any(n.lower().startswith(o) for o in only)}
    rates: dict[tuple[str, str, int], list[float]] = {}
    for load in loads:
        files = make_files(work / load.name.replace(" ", ""), load, generator)
        for repeat in range(repeats):
            for count in associations:
                # Another first receiver in each repeat, so that none always has the others' write-back behind it.
                names = list(receivers)
                for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
                    folder = Path(tempfile.mkdtemp(dir=work))
                    os.sync()
                    with receivers[name](folder) as port:
                        rates.setdefault((name, load.name, count), []).append(send(port, files, count))
                    shutil.rmtree(folder)
                    print(".", end="", file=sys.stderr, flush=True)
        shutil.rmtree(files[0].parent)
    print(file=sys.stderr)
    return table(rates, list(receivers), [load.name for load in loads], associations, repeats)


def table(
    rates: Mapping[tuple[str, str, int], Sequence[float]],
    receivers: Sequence[str],
    loads: Sequence[str],
    associations: Sequence[int],
    repeats: int,
) -> str:
    """Format medians, their range, and the first receiver's ratio to each other one."""
    columns = [(load, count) for load in loads for count in associations]
    heads = [f"{load}, {count} assoc" for load, count in columns]
    medians = {key: statistics.median(values) for key, values in rates.items()}
    lines = [
        f"Images a second: medians of {repeats} interleaved repeats (lowest to highest), {os.cpu_count()} cores.",
        "",
        "| receiver | " + " | ".join(heads) + " |",
        "|---" * (len(heads) + 1) + "|",
    ]
    for name in receivers:
        cells = [f"{medians[name, *c]:.0f} ({min(rates[name, *c]):.0f} to {max(rates[name, *c]):.0f})" for c in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    first, *others = receivers
    for name in others:
        cells = [f"{medians[first, *c] / medians[name, *c]:.2f}" for c in columns]
        lines.append(f"| *{first.split(' (')[0]} : {name}* | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the command line, measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="under a minute: fewer loads and repeats")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="beginnings of receiver names, separated by commas")
    parser.add_argument("--work", type=Path, help="folder on the disk to be measured; default: the temporary folder")
    arguments = parser.parse_args()
    loads: Sequence[Load] = LOADS
    associations, repeats = ASSOCIATIONS, arguments.repeats
    if arguments.short:
        loads = [replace(load, files=load.files // 2) for load in (LOADS[0], LOADS[2])]
        associations, repeats = (1, 4), 2
        arguments.only = arguments.only or "hilum,orthanc,storescp +b"
    only = [name.strip().lower() for name in arguments.only.split(",") if name.strip()]
    with tempfile.TemporaryDirectory(prefix="hilum-bench-", dir=arguments.work) as work:
        text = run(loads=loads, associations=associations, repeats=repeats, only=only, work=Path(work))
    print(text)
    OUTPUT.mkdir(exist_ok=True)
    (OUTPUT / "ingest.md").write_text(text)


if __name__ == "__main__":
    main()
