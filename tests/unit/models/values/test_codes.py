"""Codes: no mistyped SNOMED CT identifier, no literal twice."""

from __future__ import annotations

from models.values import codes
from models.values.codes import Code

# Dihedral group of order 10 and the permutation of the Verhoeff check digit that ends every SNOMED CT identifier.
PRODUCT = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
    [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
    [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
    [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
    [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
    [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
    [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
    [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
    [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
]
SHUFFLE = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]


def checks(identifier: str) -> bool:
    """Whether the last digit is the check digit of the others."""
    rows = [list(range(10))]
    for _ in range(7):
        rows.append([rows[-1][digit] for digit in SHUFFLE])
    check = 0
    for place, digit in enumerate(reversed(identifier)):
        check = PRODUCT[check][rows[place % 8][int(digit)]]
    return check == 0


ALL = {name: value for name, value in vars(codes).items() if isinstance(value, Code)}


def test_the_check_itself() -> None:
    assert checks("39607008")
    assert not checks("39607009")


def test_snomed_identifiers_carry_their_check_digit() -> None:
    wrong = [name for name, code in ALL.items() if code.scheme == "SCT" and not checks(code.value)]
    assert wrong == []


def test_values_fit_their_attributes() -> None:
    for code in ALL.values():
        assert 1 <= len(code.value) <= 16
        assert 1 <= len(code.scheme) <= 16
        assert 1 <= len(code.meaning) <= 64
