"""How a threshold was chosen, in the language of a report.

Manifests and a site's configuration say it as one English text (`training.evaluation.measures.thresholds`,
`models.bundle.site`), whose forms are few: they stand as `RULE_` sentences in the languages' tables. A text of another
form stays as it is.
"""

from __future__ import annotations

import re
from functools import cache
from string import Formatter

from workers.results.text.languages.language import ENGLISH, Language
from workers.results.text.languages.sentences import Sentence

_HOW = (
    Sentence.RULE_SENSITIVITY,
    Sentence.RULE_SPECIFICITY,
    Sentence.RULE_YOUDEN,
    Sentence.RULE_YOUDEN_FLOOR,
    Sentence.RULE_COST,
    Sentence.RULE_COST_AT,
)
_IMAGES = (Sentence.RULE_IMAGES, Sentence.RULE_IMAGES_FOLDS)
_WHOLE = (Sentence.RULE_SITE_POINT, Sentence.RULE_SITE, Sentence.RULE_FIXED, Sentence.RULE_CHOSEN)
_PARTS = {"how": _HOW, "images": _IMAGES, "rule": _WHOLE, "other": _WHOLE}
"""What may stand in a placeholder; in every other one a number or a name stands."""

_NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?"
_VALUES = {"name": r"'[^']*'|\"[^\"]*\""} | dict.fromkeys(_PARTS, ".+")


def rule_text(english: str, words: Language) -> str:
    """Return a rule in a language; in English where it has none of the known forms."""
    if words is ENGLISH:
        return english
    return _translated(english, _WHOLE, words) or english


def _translated(english: str, forms: tuple[Sentence, ...], words: Language) -> str | None:
    """Translate a text of one of these forms, parts and all; None where it has none of them."""
    for form in forms:
        match = _pattern(form).fullmatch(english)
        if match is None:
            continue
        values = {name: _value(name, text, words) for name, text in match.groupdict().items()}
        if None not in values.values():
            return words.say(form, **values)
    return None


def _value(name: str, text: str, words: Language) -> str | None:
    if name in _PARTS:
        return _translated(text, _PARTS[name], words)
    return text if name == "name" else text.replace(".", words.decimal)


@cache
def _pattern(form: Sentence) -> re.Pattern[str]:
    """Return what matches the English text of a form, with a group for each placeholder."""
    parts = []
    for literal, name, _, _ in Formatter().parse(form.value):
        parts.append(re.escape(literal))
        if name is not None:
            parts.append(f"(?P<{name}>{_VALUES.get(name, _NUMBER)})")
    return re.compile("".join(parts))
