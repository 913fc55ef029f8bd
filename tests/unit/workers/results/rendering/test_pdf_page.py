"""The page: what fits, and what is said where not everything does."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from workers.results.rendering.pdf_page import Legend, Page, draw, pdf

PICTURE = np.zeros((60, 50, 3), np.uint8)
PAGE = Page(
    title="Title",
    notice="Notice",
    pictures=(("image 1", PICTURE),),
    legend=(Legend((255, 0, 0), "Heart"),),
    sections=(("Findings", ("One.", "Two.")),),
    more="There is more.",
    foot="Foot",
)


def _words(page: Page) -> list[str]:
    return [text.get_text() for text in draw(page).texts]


def test_everything_is_said_where_it_fits() -> None:
    words = _words(PAGE)
    assert {"Title", "Notice", "Heart", "Findings", "One.", "Two.", "Foot"} <= set(words)
    assert "There is more." not in words


def test_what_does_not_fit_is_said_to_be_missing() -> None:
    long = replace(PAGE, sections=(("Findings", tuple(f"Line {n}." for n in range(300))),))
    words = _words(long)
    assert "There is more." in words
    assert "Line 0." in words
    assert "Line 299." not in words


@pytest.mark.parametrize("lines", [5, 300])
@pytest.mark.parametrize("pictures", [0, 1, 5])
def test_no_word_leaves_the_page_or_stands_on_a_picture(pictures: int, lines: int) -> None:
    page = replace(
        PAGE,
        pictures=tuple((f"image {n}", PICTURE) for n in range(pictures)),
        sections=(("Findings", ("Pneumothorax, 8.2 percent, WMAMW of the left lung. " * 3,) * lines),),
    )
    figure = draw(page)
    canvas = figure.bbox
    drawn = [text.get_window_extent() for text in figure.texts]
    assert all(canvas.x0 <= box.x0 and box.x1 <= canvas.x1 and canvas.y0 <= box.y0 for box in drawn)
    for axes in figure.axes:
        assert not any(axes.get_position().transformed(figure.transFigure).overlaps(box) for box in drawn)


def test_no_line_stands_on_another() -> None:
    figure = draw(replace(PAGE, sections=(("Findings", ("words of a line",) * 300),)))
    body = sorted((text.get_window_extent() for text in figure.texts), key=lambda box: box.y0)
    same_row = [(a, b) for a, b in pairwise(body) if a.y1 > b.y0 + 2 and a.x1 > b.x0 and b.x1 > a.x0]
    assert same_row == []


def test_a_dollar_sign_is_a_dollar_sign() -> None:
    assert pdf(replace(PAGE, sections=(("A $x$", ("costs $1 and $2",)),))).startswith(b"%PDF")


def test_the_same_page_is_the_same_bytes() -> None:
    assert pdf(PAGE) == pdf(PAGE)
