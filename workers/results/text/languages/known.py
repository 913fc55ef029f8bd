"""The languages that results can be written in, by their tag (RFC 5646)."""

from __future__ import annotations

from collections.abc import Mapping

from workers.results.text.languages.french import FRENCH
from workers.results.text.languages.german import GERMAN
from workers.results.text.languages.language import ENGLISH, Language

LANGUAGES: Mapping[str, Language] = {"en": ENGLISH, "de": GERMAN, "fr": FRENCH}


def language(tag: str) -> Language:
    """Return the language of a tag that a profile may have (`node.delivery.profiles.Profile.language`).

    To add one: a table like that of German, its tag here and there; tests/unit/workers/results/text/test_languages.py
    says what is missing.

    Raises
    ------
    KeyError
        There is none.
    """
    return LANGUAGES[tag]
