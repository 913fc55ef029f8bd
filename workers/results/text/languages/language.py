"""One language of the texts: sentences, names, and how numbers are written. Codes and NUM items know no language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.values.codes import Code
from workers.results.text.languages.sentences import Sentence


@dataclass(frozen=True)
class Language:
    """A language; what its tables lack stays English.

    Attributes
    ----------
    code
        Of RFC 5646, for TID 1204.
    sentences
        By the English sentence; the placeholders are the same.
    terms
        Names of findings, structures, measurements, reasons and units, by the English ones.
    decimal, group
        The marks within a number.
    """

    code: Code
    sentences: Mapping[str, str] = field(default_factory=dict)
    terms: Mapping[str, str] = field(default_factory=dict)
    decimal: str = "."
    group: str = ","

    def say(self, sentence: Sentence, **values: object) -> str:
        """Return a sentence with its values."""
        return self.sentences.get(sentence.value, sentence.value).format(**values)

    def term(self, english: str) -> str:
        """Return the name of a thing."""
        return self.terms.get(english, english)

    def detail(self, english: str) -> str:
        """Return a detail in this language, or nothing: no translated sentence ends in English.

        Details come from models and decoder as whole English texts, many with numbers in them. The reason that stands
        before a detail has a code, and a name in every language.
        """
        return english if self is ENGLISH else self.terms.get(english, "")

    def number(self, value: float, form: str) -> str:
        """Return a number in a format of `format`, with the marks of this language."""
        marks = {".": self.decimal, ",": self.group}
        return "".join(marks.get(character, character) for character in format(value, form))


ENGLISH = Language(Code("en", "RFC5646", "English"))
