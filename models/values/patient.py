"""What a network may be told of a patient besides the image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

# As networks see it; any other value of Patient's Sex (0010,0040) is unknown to them.
SEXES: Mapping[str, float] = {"F": -1.0, "M": 1.0}


@dataclass(frozen=True)
class Patient:
    """Age at the study in years, and Patient's Sex (F, M); None is unknown."""

    age_years: float | None = None
    sex: str | None = None

    def numbers(self) -> tuple[float, float]:
        """Return age, and sex as -1 (female) or 1 (male); NaN is unknown."""
        return math.nan if self.age_years is None else self.age_years, SEXES.get((self.sex or "").upper(), math.nan)


UNKNOWN = Patient()
