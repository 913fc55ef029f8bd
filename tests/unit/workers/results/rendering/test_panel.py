"""The picture for people."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from PIL import Image
from rich.console import Console

from models.image.geometry import Orientation
from models.image.pixels import Radiograph
from models.values import codes
from models.values.findings import ImageFindings
from tests.support.data import sources
from tests.support.results import result_requests as made
from tests.support.results.encoded import one_image
from workers.commands.terminal import print_summary
from workers.results.rendering.overlay import overlay_png
from workers.results.rendering.panel import DPI, HEIGHT_INCHES, TEXT, WARNING, write_panel
from workers.results.text.languages.known import language
from workers.results.text.summary import summary
from workers.results.text.wording import NO_ROOM

GREY = Radiograph(np.full((240, 200), 0.4, np.float32))


def test_the_picture_shows_the_colours_of_the_structures(tmp_path: Path) -> None:
    path = tmp_path / "overlay.png"
    overlay_png(GREY, made.image("1.2.3", 240, 200), path)
    with Image.open(path) as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(maxcolors=1 << 24)}
        assert picture.info.get("Software") is None
    assert {s.colour_rgb for s in made.image("1.2.3", 240, 200).segments} <= colours


def test_a_refused_image_gets_a_picture(tmp_path: Path) -> None:
    overlay_png(GREY, made.refused("1.2.3"), tmp_path / "overlay.png")
    assert (tmp_path / "overlay.png").stat().st_size > 5000


def test_masks_are_laid_onto_the_canonical_grid(tmp_path: Path) -> None:
    turned = Orientation(transpose=True)
    radiograph = Radiograph(np.full((200, 240), 0.4, np.float32), orientation=turned)
    overlay_png(radiograph, made.image("1.2.3", 240, 200), tmp_path / "overlay.png")


def test_a_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the source image is"):
        overlay_png(GREY, made.image("1.2.3", 10, 10), tmp_path / "overlay.png")


def _panel(tag: str) -> dict[str, str]:
    """Return the words beside a picture with an indeterminate finding, and the colour of each line."""
    figure = Figure()
    write_panel(figure, 0.5, made.with_doubt(made.image("1.2.3", 240, 200)), language(tag))
    return {text.get_text(): str(text.get_color()) for text in figure.findobj(Text) if text.get_text()}


def _written(image: ImageFindings) -> tuple[list[Text], float]:
    """Return the lines beside a picture, as drawn, and how far its legend reaches from the foot, in pixels."""
    figure = Figure(figsize=(8.4, HEIGHT_INCHES), dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    write_panel(figure, 0.5, image)
    canvas.draw()
    (legend,) = figure.findobj(Legend)
    (panel,) = figure.axes
    return [text for text in panel.texts if text.get_text()], legend.get_window_extent().y1


@pytest.mark.parametrize("count", [3, 6, 12, 40])
def test_words_never_run_into_the_legend_and_what_is_left_out_is_said(count: int) -> None:
    image = made.with_doubt(made.with_pneumothorax(made.image("1.2.3", 240, 200), codes.LEFT))
    image = replace(image, findings=(image.findings * count)[:count])
    lines, end_of_legend = _written(image)
    assert min(line.get_window_extent().y0 for line in lines) >= end_of_legend
    whole = sum("probability" in line.get_text() for line in lines) == count and any(
        line.get_text().startswith("Algorithms") for line in lines
    )
    said = " ".join(line.get_text() for line in lines).endswith(NO_ROOM)
    assert said is not whole
    assert whole is (count < 12)


def test_a_dollar_in_a_text_is_a_dollar() -> None:
    image = made.image("1.2.3", 240, 200)
    priced = replace(image.findings[0], label="Cost $1 and $2 _x")
    lines, _ = _written(replace(image, findings=(priced,)))
    assert not any(line.get_parse_math() for line in lines)


def test_an_indeterminate_finding_stands_out_from_an_absent_one() -> None:
    colours = _panel("en")
    assert next(c for line, c in colours.items() if line.startswith("Pneumothorax: indeterminate")) == WARNING
    assert next(c for line, c in colours.items() if line.startswith("Atelectasis: absent")) == TEXT
    assert any("edge of the image" in line for line in colours)


def test_the_picture_speaks_the_language_asked_for() -> None:
    lines = _panel("de")
    assert {"Befunde", "Messungen", "Durchmesser", "Rechte Lunge"} <= set(lines)
    assert any(line.startswith("Pneumothorax: unbestimmt") for line in lines)
    assert not {"Findings", "Measurements", "Right lung"} & set(lines)


def test_a_refused_image_gets_the_reason_and_no_english_detail_in_another_language() -> None:
    figure = Figure()
    write_panel(figure, 0.5, made.refused("1.2.3"), language("de"))
    said = " ".join(text.get_text() for text in figure.findobj(Text))
    assert "Keine frontale Thoraxaufnahme." in said
    assert "Score" not in said


def test_the_terminal_says_indeterminate_and_the_uncertain_range(tmp_path: Path) -> None:
    request = one_image(tmp_path, ViewPosition="AP")
    request = replace(request, images=(made.with_doubt(made.image(sources.uid())),))
    console = Console(width=160, record=True, file=io.StringIO())
    print_summary(summary(request), console)
    said = console.export_text()
    assert "0.200 (0.170–0.240)" in said
    assert "indeterminate" in said
    assert "image: AP view, often taken at the bedside" in said
    assert "the lungs reach the edge of the image (bottom)" in said
