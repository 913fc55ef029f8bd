"""Bands of ages, for tables."""

from __future__ import annotations

from collections.abc import Sequence


def age_band(years: float, edges: Sequence[int]) -> str:
    """Name the band of an age, sorted as text in the order of age.

    Parameters
    ----------
    edges
        First year of each band but the youngest, ascending.
    """
    low = 0
    for high in edges:
        if years < high:
            return f"{low:02d} to {high - 1:02d}"
        low = high
    return f"{low} and older"
