"""What the node knows of the quality of an image: from its header, and from where its lungs lie. Nothing is guessed."""

from __future__ import annotations

from dataclasses import dataclass

from models.image.pixels import spacing_of
from models.values.codes import Code
from models.values.findings import Edge, ImageFindings
from node.dicom.defined_terms import VIEW_POSITIONS
from workers.results.sources.source import Source
from workers.results.text import vocabulary
from workers.results.text.languages.language import ENGLISH, Language
from workers.results.text.languages.sentences import Sentence

_METHODS = {
    "ISO_10918_1": "JPEG",
    "ISO_14495_1": "JPEG-LS",
    "ISO_15444_1": "JPEG 2000",
    "ISO_15444_15": "HTJ2K",
    "ISO_18181_1": "JPEG XL",
}
"""Lossy Image Compression Method (0028,2114), PS3.3 section C.7.6.1.1.5.1, for single images."""

_VIEWS = {
    "AP": (vocabulary.ANTERO_POSTERIOR, Sentence.VIEW_AP),
    "PA": (vocabulary.POSTERO_ANTERIOR, Sentence.VIEW_PA),
}

_EDGES = {
    Edge.TOP: Sentence.EDGE_TOP,
    Edge.BOTTOM: Sentence.EDGE_BOTTOM,
    Edge.RIGHT: Sentence.EDGE_RIGHT,
    Edge.LEFT: Sentence.EDGE_LEFT,
}


@dataclass(frozen=True)
class QualityNote:
    """One thing known of an image, as question and coded answer and in words.

    Attributes
    ----------
    answer
        None where there is no code for it.
    matters
        Whether a reader of the findings should know it.
    """

    name: Code | None
    answer: Code | None
    text: str
    matters: bool = False


def observations(image: ImageFindings, source: Source, words: Language = ENGLISH) -> tuple[QualityNote, ...]:
    """Return what is known of the quality of an image, the pixel grid first, and last what nobody looked at."""
    return (
        *_grid(source, words),
        _spacing(source, words),
        *_compression(source, words),
        _view(source, words),
        *field_of_view(image, words),
        QualityNote(None, None, words.say(Sentence.NOT_ASSESSED)),
    )


def _grid(source: Source, words: Language) -> tuple[QualityNote, ...]:
    if source.shape is None:
        return ()
    rows, columns = source.shape
    return (QualityNote(None, None, words.say(Sentence.PIXEL_GRID, rows=rows, columns=columns)),)


def _spacing(source: Source, words: Language) -> QualityNote:
    spacing, calibrated, _, _ = spacing_of(source.header)
    if spacing is None:
        return QualityNote(vocabulary.PIXEL_SPACING, vocabulary.SPACING_UNKNOWN, words.say(Sentence.SPACING_UNKNOWN))
    answer, sentence = (
        (vocabulary.SPACING_CALIBRATED, Sentence.SPACING_CALIBRATED)
        if calibrated
        else (vocabulary.SPACING_AT_DETECTOR, Sentence.SPACING_AT_DETECTOR)
    )
    rows, columns = (words.number(part, ".3f") for part in spacing)
    return QualityNote(vocabulary.PIXEL_SPACING, answer, words.say(sentence, rows=rows, columns=columns))


def _compression(source: Source, words: Language) -> tuple[QualityNote, ...]:
    """Say what Lossy Image Compression (0028,2110) says; nothing where it is absent."""
    name, header = vocabulary.LOSSY_COMPRESSION, source.header
    match str(header.get("LossyImageCompression") or ""):
        case "01":
            text = words.say(Sentence.LOSSY, how=_how(source, words))
            return (QualityNote(name, vocabulary.PRESENT, text, matters=True),)
        case "00":
            return (QualityNote(name, vocabulary.ABSENT, words.say(Sentence.NOT_LOSSY)),)
        case _:
            return ()


def _how(source: Source, words: Language) -> str:
    """Return method and ratio of a lossy compression."""
    method = str(source.header.get("LossyImageCompressionMethod") or "")
    ratio = source.header.get("LossyImageCompressionRatio")
    said = [words.say(Sentence.LOSSY_METHOD, method=_METHODS[method])] if method in _METHODS else []
    said += [words.say(Sentence.LOSSY_RATIO, ratio=words.number(float(ratio), ".3g"))] if ratio else []
    return ", ".join(said) or words.say(Sentence.LOSSY_HOW_UNKNOWN)


def _view(source: Source, words: Language) -> QualityNote:
    view = str(source.header.get("ViewPosition") or "").upper()
    if view in _VIEWS:
        answer, sentence = _VIEWS[view]
        return QualityNote(vocabulary.IMAGE_VIEW, answer, words.say(sentence), matters=sentence is Sentence.VIEW_AP)
    if not view:
        text = words.say(Sentence.VIEW_UNKNOWN)
    elif view in VIEW_POSITIONS:
        text = words.say(Sentence.VIEW_OTHER, view=view)
    else:
        text = words.say(Sentence.VIEW_NOT_A_TERM)
    return QualityNote(vocabulary.IMAGE_VIEW, None, text)


def field_of_view(image: ImageFindings, words: Language = ENGLISH) -> tuple[QualityNote, ...]:
    """Return whether the lungs reach the edge of the image; nothing where that was not measured."""
    if image.cut_off is None:
        return ()
    name = vocabulary.LUNGS_AT_EDGE
    if not image.cut_off:
        return (QualityNote(name, vocabulary.ABSENT, words.say(Sentence.LUNGS_COMPLETE)),)
    edges = ", ".join(words.say(_EDGES[edge]) for edge in image.cut_off)
    return (QualityNote(name, vocabulary.PRESENT, words.say(Sentence.LUNGS_CUT_OFF, edges=edges), matters=True),)
