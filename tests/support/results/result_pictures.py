"""Pictures of the optional results for the documentation, each of the object's bytes as another program reads them.

`python -m tests.support.results.result_pictures docs/images` writes them anew. DCMTK and dcmqi are needed, and
pypdfium2 for the page. The image is a phantom with its true masks; findings and numbers are those of the tests, and
mean nothing.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from highdicom.color import CIELabColor
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

from models import phantom
from node.dicom.kinds import ResultKind
from tests.support.results import result_requests as made
from tests.support.results.optional_results import phantom_findings, results
from workers.results.request import ResultRequest

WIDTHS = {ResultKind.KO: 900, ResultKind.SC: 760, ResultKind.PR: 520, ResultKind.PM: 520, ResultKind.DOC: 640}
SEED = 7
_EDGE = [withStroke(linewidth=3, foreground="#101418")]


def request(folder: Path) -> ResultRequest:
    """Write a phantom and return findings for it."""
    generated = phantom.generate(SEED, rows=1250, columns=1024)
    ds = phantom.write(folder / "phantom.dcm", generated)
    image = phantom_findings(generated, str(ds.SOPInstanceUID))
    asked = made.diseases((folder / "phantom.dcm",), image)
    return replace(asked, study_instance_uid=str(ds.StudyInstanceUID))


def key_objects(path: Path, source: Path) -> Image.Image:
    """Show what DCMTK's dsrdump says."""
    said = _run("dsrdump", "+Pl", "-Ph", path)
    lines = [
        part
        for line in said.splitlines()
        if "contains" in line or "CONTAINER" in line
        for part in textwrap.wrap(line, 96, subsequent_indent=" " * 8)
    ]
    figure = Figure(figsize=(9, 0.4 + 0.19 * len(lines)), dpi=100, facecolor="white")
    figure.text(0.02, 0.95, "\n".join(lines), family="monospace", fontsize=9, va="top", parse_math=False)
    return _image(figure)


def capture(path: Path, source: Path) -> Image.Image:
    """Show what DCMTK's dcmj2pnm makes of it."""
    _run("dcmj2pnm", "+on", path, path.with_suffix(".png"))
    return Image.open(path.with_suffix(".png")).convert("RGB")


def presentation(path: Path, source: Path) -> Image.Image:
    """Show the image as DCMTK's dcmp2pgm does under the state, and the graphics of the state, which it leaves out."""
    _run("dcmp2pgm", "-p", path, source, path.with_suffix(".pgm"))
    ds, grey = dcmread(path), np.asarray(Image.open(path.with_suffix(".pgm")))
    figure, axes = _frame(grey)
    layers = {layer.GraphicLayer: _rgb(layer) for layer in ds.GraphicLayerSequence}
    rows, columns = grey.shape
    for annotation in ds.GraphicAnnotationSequence:
        colour = layers[annotation.GraphicLayer]
        for item in annotation.get("GraphicObjectSequence", ()):
            points = np.reshape(item.GraphicData, (-1, 2))
            axes.plot(points[:, 0], points[:, 1], color=colour, linewidth=2.2)
        for text in annotation.get("TextObjectSequence", ()):
            if "AnchorPoint" in text:
                x, y = text.AnchorPoint
                axes.text(
                    x,
                    y - 8,
                    text.UnformattedTextValue,
                    color=colour,
                    fontsize=15,
                    ha="center",
                    va="bottom",
                    path_effects=_EDGE,
                )
            else:
                (left, _), (_, bottom) = text.BoundingBoxTopLeftHandCorner, text.BoundingBoxBottomRightHandCorner
                axes.text(
                    left * columns,
                    bottom * rows,
                    text.UnformattedTextValue,
                    color=colour,
                    fontsize=15,
                    path_effects=_EDGE,
                )
    return _image(figure)


def heat_map(path: Path, source: Path) -> Image.Image:
    """Show the values as dcmqi reads them, over the image."""
    _run(Path(sys.executable).parent / "paramap2itkimage", "--inputDICOM", path, "--outputDirectory", path.parent)
    _run("dcmj2pnm", "+op", "--min-max-window", source, path.with_suffix(".pgm"))
    grey = np.asarray(Image.open(path.with_suffix(".pgm")).convert("L"))
    values = _nrrd(path.parent / "pmap.nrrd")
    figure, axes = _frame(grey)
    rows, columns = grey.shape
    axes.imshow(values, cmap="inferno", vmin=0, vmax=1, alpha=0.6 * values, extent=(0, columns, rows, 0))
    return _image(figure)


def page(path: Path, source: Path) -> Image.Image:
    """Show the page as PDFium draws it."""
    import pypdfium2

    _run("dcm2pdf", path, path.with_suffix(".pdf"))
    return pypdfium2.PdfDocument(path.with_suffix(".pdf"))[0].render(scale=1.5).to_pil()


PICTURES: dict[ResultKind, tuple[str, Callable[[Path, Path], Image.Image]]] = {
    ResultKind.KO: ("key-objects", key_objects),
    ResultKind.SC: ("capture", capture),
    ResultKind.PR: ("presentation", presentation),
    ResultKind.PM: ("heat-map", heat_map),
    ResultKind.DOC: ("page", page),
}


def main(folder: Path) -> None:
    """Write every picture into a folder."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        asked = request(work)
        for kind, (label, shown) in PICTURES.items():
            (result,) = results(asked, kind)
            path = work / f"{label}.dcm"
            path.write_bytes(result.content)
            picture = shown(path, asked.sources[0].path)
            height = round(picture.height * WIDTHS[kind] / picture.width)
            small = picture.resize((WIDTHS[kind], height), Image.Resampling.LANCZOS)
            small.save(folder / f"result-{label}.png", optimize=True)


def _run(*arguments: str | Path) -> str:
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, errors="replace", check=True)
    return done.stdout


def _nrrd(path: Path) -> NDArray[np.float32]:
    """Read one slice of float32 values of a gzipped NRRD file."""
    header, _, body = path.read_bytes().partition(b"\n\n")
    sizes = next(line for line in header.decode().splitlines() if line.startswith("sizes: "))
    columns, rows, _ = map(int, sizes.removeprefix("sizes: ").split())
    return np.frombuffer(gzip.decompress(body), "<f4").reshape(rows, columns)


def _frame(grey: NDArray[np.uint8]) -> tuple[Figure, Axes]:
    """Return axes in the pixels of a picture."""
    rows, columns = grey.shape
    figure = Figure(figsize=(columns / 100, rows / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, extent=(0, columns, rows, 0))
    axes.set_axis_off()
    return figure, axes


def _image(figure: Figure) -> Image.Image:
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        figure.savefig(file.name)
        with Image.open(file.name) as picture:
            return picture.convert("RGB")


def _rgb(layer: Dataset) -> tuple[float, ...]:
    """Return the colour of a layer (PS3.3 section C.10.7.1.1)."""
    lightness, a, b = (int(part) / 65535 for part in layer.GraphicLayerRecommendedDisplayCIELabValue)
    return tuple(part / 255 for part in CIELabColor(lightness * 100, a * 255 - 128, b * 255 - 128).to_rgb())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
