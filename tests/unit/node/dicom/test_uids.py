"""What passes for a UID, strictly and where an object is only named."""

from __future__ import annotations

import pytest

from node.dicom.uids import has_uid_characters, is_uid


@pytest.mark.parametrize("text", ["1", "1.2.840.10008.1.2", "1.02.3", "0", "1" * 64])
def test_numbers_with_dots_between_them_are_a_uid(text: str) -> None:
    assert is_uid(text)
    assert has_uid_characters(text)


@pytest.mark.parametrize("text", [".1", "1.", "1..2", "."])
def test_a_misplaced_dot_makes_it_none_but_keeps_its_characters(text: str) -> None:
    assert not is_uid(text)
    assert has_uid_characters(text)


@pytest.mark.parametrize("text", ["", "1" * 65, "1.2\n", "1.2 ", "1.2\0", "1/2", "../1", "1.a", "１.２", "²"])
def test_what_has_another_character_or_length_is_neither(text: str) -> None:
    assert not is_uid(text)
    assert not has_uid_characters(text)
