"""The languages that results can be written in, by their tag (RFC 5646)."""

from __future__ import annotations

from collections.abc import Mapping

from workers.objects.languages.french import FRENCH
from workers.objects.languages.german import GERMAN
from workers.objects.languages.language import ENGLISH, Language

LANGUAGES: Mapping[str, Language] = {"en": ENGLISH, "de": GERMAN, "fr": FRENCH}


def language(tag: str) -> Language:
    """Return the language of a tag; a region is left aside, and what is not known is English.

    A report in English is better than none: every study is answered.
    """
    return LANGUAGES.get(tag.lower().split("-")[0], ENGLISH)
