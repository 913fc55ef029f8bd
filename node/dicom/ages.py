"""A patient's age from the values of a header, of which the first that can be true counts, not the first that parses.

Equipment that does not know writes 000Y or 999Y, a birth date of 1900, or no study date.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Final

OLDEST_YEARS: Final = 123
"""Nobody has been known to live longer."""

_AGE: Final = re.compile(r"([0-9]{1,3}) ?([DWMY]?)", re.IGNORECASE)
_DATE: Final = re.compile(r"([0-9]{4})([.-]?)([0-9]{2})\2([0-9]{2})")
"""DA (PS3.5 section 6.2), with points as before DICOM, or with hyphens."""
_DAYS_IN: Final = {"D": 1.0, "W": 7.0, "M": 365.25 / 12, "Y": 365.25, "": 365.25}


def age_years(*, stated: str | None, born: str | None, examined: Iterable[str | None]) -> float | None:
    """Return the age at the examination in years; None: no value says.

    Parameters
    ----------
    stated
        Patient's Age (0010,1010): "062Y" as in the Standard, or "62". Zero is an age in days alone.
    born
        Patient's Birth Date (0010,0030).
    examined
        Dates, or dates with times, of study, series, acquisition and object, the best first.
    """
    match = _AGE.fullmatch((stated or "").strip())
    if match is not None:
        unit = match[2].upper()
        years = int(match[1]) * _DAYS_IN[unit] / 365.25
        if years < OLDEST_YEARS and (years > 0 or unit == "D"):
            return years
    birth = day(born)
    if birth is None:
        return None
    ages = ((then - birth).days / 365.25 for then in map(_day_of_moment, examined) if then is not None)
    return next((years for years in ages if 0 <= years < OLDEST_YEARS), None)


def day(text: str | None) -> date | None:
    """Return the day of the calendar that a DA names; None: it names none."""
    match = _DATE.fullmatch((text or "").strip())
    try:
        return date(int(match[1]), int(match[3]), int(match[4])) if match else None
    except ValueError:
        return None


def _day_of_moment(text: str | None) -> date | None:
    """Return the day of a DA or a DT."""
    return day(text) or day((text or "").strip()[:8])
