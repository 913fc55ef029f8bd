"""What held between results and readers, collected while tests run: source × object × profile × reader.

Any test calls `record`. Each test process appends to a file of its own; the end of the run prints the table, and with
`--interoperability` writes docs/interoperability.md.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from tests.support.paths import DOCS, RECORDS
from tests.support.viewer import package

PAGE = DOCS / "interoperability.md"
HELD = "held"
HEADER = "| source | object | profile | reader | outcome |"


PROGRAMS = {
    "Chromium": (["chromium", "--version"], r"Chromium ([\d.]+)"),
    "Node": (["node", "--version"], r"v(.+)"),
    "Orthanc": (["Orthanc", "--version"], r"Orthanc ([\d.]+)"),
    "DCMTK": (["dsrdump", "--version"], r"v([\d.]+)"),
    "dciodvfy (dicom3tools)": (["dpkg-query", "-W", "-f", "${Version}", "dicom3tools"], r"(.+)"),
}
"""How a program is asked for its version, and what it answers."""
PACKAGES = ("highdicom", "pydicom", "dcmqi")


@dataclass(frozen=True, order=True)
class Row:
    """One thing that was tried."""

    source: str
    object: str
    profile: str
    reader: str
    outcome: str
    """`held`, or in words what did not and why."""

    @property
    def line(self) -> str:
        """The row as a line of text."""
        return " · ".join((self.source, self.object, self.profile, self.reader, self.outcome))


def record(*, source: str, object: str, profile: str, reader: str, outcome: str = HELD) -> None:
    """Note the outcome of one test; call it after the assertions. Does nothing outside a test run.

    Parameters
    ----------
    source
        The kind of image: class, size and what is particular, such as `DX 1200×1004`.
    object
        Kind of result, such as `SEG` or `SR`.
    profile
        Profile of the destination.
    reader
        Program and what it was asked for, such as `DCMTK dsrdump`; its version stands in the page's list.
    outcome
        `held`, or what did not hold and why.
    """
    folder = os.environ.get(RECORDS)
    if folder:
        row = Row(source, object, profile, reader, outcome)
        with (Path(folder) / f"{os.getpid()}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row)) + "\n")


def rows(folder: Path) -> list[Row]:
    """Return what was recorded, each once, in order."""
    lines = [line for path in folder.glob("*.jsonl") for line in path.read_text(encoding="utf-8").splitlines()]
    return sorted({Row(**json.loads(line)) for line in lines})


def table(found: Iterable[Row]) -> list[str]:
    """Return the rows as a Markdown table; sources with the same outcome share a line."""
    together: dict[tuple[str, str, str, str], list[str]] = {}
    for row in found:
        together.setdefault((row.object, row.reader, row.profile, row.outcome), []).append(row.source)
    lines = [HEADER, "|---|---|---|---|---|"]
    for (kind, reader, profile, outcome), sources in sorted(together.items()):
        lines.append(f"| {'; '.join(sorted(sources))} | {kind} | {profile} | {reader} | {outcome} |")
    return lines


def read_table(text: str) -> set[Row]:
    """Return the rows of a table in a page."""
    found = set()
    for line in text.partition(HEADER)[2].splitlines()[2:]:
        if not line.startswith("|"):
            break
        sources, kind, profile, reader, outcome = (cell.strip() for cell in line.strip("|").split(" | "))
        found |= {Row(source, kind, profile, reader, outcome) for source in sources.split("; ")}
    return found


def missing(found: Iterable[Row]) -> list[Row]:
    """Return the rows that the committed page does not hold."""
    committed = read_table(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else set()
    return [row for row in found if row not in committed]


def write(found: Iterable[Row]) -> None:
    """Write the page."""
    PAGE.write_text(page(found, versions()), encoding="utf-8")


def versions() -> dict[str, str]:
    """Return the versions of the programs, as they name themselves; those that are not installed are left out."""
    found = {}
    for program, (command, pattern) in PROGRAMS.items():
        path = shutil.which(command[0], path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if path is not None:
            done = subprocess.run([path, *command[1:]], capture_output=True, text=True, check=False, timeout=60)
            version = re.search(pattern, done.stdout + done.stderr)
            found[program] = version.group(1) if version else "unknown"
    found |= {package: metadata.version(package) for package in PACKAGES}
    return {"OHIF": package.VERSION, "cornerstone adapters": package.adapters_version(), **found}


def page(found: Iterable[Row], versions: Mapping[str, str]) -> str:
    """Return docs/interoperability.md."""
    lines = [INTRODUCTION, "## Programs", "", "| program | version |", "|---|---|"]
    lines += [f"| {program} | {version} |" for program, version in versions.items()]
    lines += ["", "## What was tried", "", *table(found), "", LIMITS]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


INTRODUCTION = """# Interoperability

What programs of others make of the results. This page is written by the tests (`make interoperability`): each line
stands for assertions that ran, none is typed in.

*held* means: OHIF drew each segment's colour on every pixel inside its mask and on none outside, apart from a margin of
four screen pixels at the borders, and this on the anatomy that was drawn into the image; a reader of masks gave every
pixel as it was computed, or where the image went through a node, as the node had stored it; a reader of reports gave
the findings; a validator found no error.

*cornerstone adapters loader* is what OHIF 3.13.2 loads a Segmentation with: npm's @cornerstonejs/adapters and its image
loader, of the versions that OHIF was built of, called as OHIF calls them, in Node and without a browser. *held* means
there: every pixel of every segment as it was computed, under its own name. `createFromDICOMSegBuffer` is another way
into the adapters, with a decoder of its own, which OHIF does not use and other viewers may.

![OHIF with the overlay of a generated radiograph: right lung blue, left lung green, heart red](images/viewer.png)

![The report in OHIF: findings with probability and threshold, measurements, limits](images/viewer-report.png)

The images are generated phantoms, sent through a running node ([the phantom](phantom.md)); no patient is shown. Where a
source is named by a word, or has fewer than 200 rows, it is a small image made for what a header may hold or lack; its
results were encoded without a node. Profiles `deflated`, `plain-labelmap` and `labelmap-j2k` are a site's own, and so
are `unsplit` (`ohif` without `split_segments`), `oriented-j2k` and `oriented-labelmap` (with `plane_orientation`).
"""

LIMITS = """## What to know

- OHIF 3.13.2 wants Plane Orientation and Pixel Measures in the SEG of a radiograph; profile `ohif` gives both, which is
  Standard Extended.
- OHIF 3.13.2 reads frames of a BINARY SEG wrongly where they begin within a byte, and refuses
  pixel data of odd length that was padded as PS3.5 asks. Profile `ohif` therefore gives each segment a SEG of its own
  where rows × columns is no multiple of 16; they are loaded one after the other.
- Orthanc 1.10.1 serves no single frames of BINARY pixel data over DICOMweb; OHIF then takes the whole instance.
- OHIF 3.13.2 draws each segment of a LABELMAP in the colour of the one before it, as it counts the background. The
  adapters 5.14.0, tried by hand, name them right and do all else alike.
- OHIF's loader reads a SEG in JPEG 2000 that has Plane Orientation, in any size, and inflates no deflated one. Through
  Orthanc 1.10.1 JPEG 2000 does not come into OHIF: it serves no single frame of one-bit pixels.
- OHIF 3.13.2 shows no Key Object Selection and no Presentation State of an image; it lists them with a mark.
- OHIF 3.13.2 at times loads a heat map and does not draw it, until the study is opened again.
- Of two images in one series OHIF 3.13.2 takes the first for every SEG whose metadata it has before the images'. Over
  that image it draws nothing, as the SEG names the other one; opening the study again helps. Images in a series each
  are not affected.
- dciodvfy 2022 does not know Label Map Segmentation, and inflates nothing: DCMTK inflated deflated objects for it.
- dcmqi's `segimage2itkimage` reads slices of a volume. It refuses the SEG of a radiograph, which has no position, and
  reads the same bits where each frame of a copy is given one.
"""
