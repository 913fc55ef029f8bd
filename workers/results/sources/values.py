"""One value of a received header: usable or none, whatever its bytes are.

What cannot be decoded, or is no value of its VR (PS3.5 section 6.2), counts as absent. Text is for people and for
comparisons: results repeat the identity of an image as bytes (`workers.results.sources.identity`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName, validate_value

from node.dicom.ages import day
from node.dicom.uids import has_uid_characters
from workers.results.sources.attributes import attempt

_IDENTIFYING = frozenset({"PatientID", "PatientName", "AccessionNumber"})
"""Kept even where their length or form is wrong: an archive files a result by them, so they must equal the source's."""
_FIRST_YEAR = 1800
"""Nobody who was born before was radiographed; such dates stand for unknown."""
_TIME_FORM = re.compile(r"([01][0-9]|2[0-3])([0-5][0-9]([0-5][0-9](\.[0-9]{1,6})?)?)?")
"""One time of day; without the leap second, which validators refuse."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def items(ds: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence; none where it is absent or no sequence."""
    value = _decoded(ds, keyword)
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else []


def usable(ds: Dataset, keyword: str) -> Any:
    """Return a usable value, as text or number; None where there is none."""
    value = _decoded(ds, keyword)
    vr = dictionary_VR(keyword)
    match value:
        case None:
            return None
        case int() if vr in ("US", "SS", "UL"):
            return int(value)
        case MultiValue() | list():
            return (
                [_plain(part) for part in value]
                if keyword in _IDENTIFYING
                else _accepted(vr, _plain(value[0]) if value else "")
            )
        case _:
            line = _plain(value)
            return line or None if keyword in _IDENTIFYING else _accepted(vr, line)


def text(ds: Dataset, keyword: str) -> str:
    """Return one line of text, of whatever form; empty where there is none."""
    value = _decoded(ds, keyword)
    if isinstance(value, MultiValue | list):
        value = value[0] if value else ""
    return "" if value is None else _plain(value)


def parts(ds: Dataset, keyword: str) -> list[str]:
    """Return every part of a multi-valued attribute, or nothing if one of them is unusable."""
    value = _decoded(ds, keyword)
    found = list(value) if isinstance(value, MultiValue | list) else [] if value is None else [value]
    vr = dictionary_VR(keyword)
    good = [part for part in (_accepted(vr, _plain(part)) for part in found) if part is not None]
    return good if len(good) == len(found) else []


def numbers(ds: Dataset, keyword: str, count: int) -> list[float]:
    """Return `count` finite numbers, or nothing."""
    try:
        found = [float(part) for part in parts(ds, keyword)]
    except ValueError:
        return []
    return found if len(found) == count and all(abs(number) < float("inf") for number in found) else []


def uid(ds: Dataset, keyword: str) -> str | None:
    """Return what may pass for a UID; it may still not be valid."""
    return uid_of(text(ds, keyword))


def uid_of(found: str | None) -> str | None:
    """Return a text where it may pass for a UID."""
    return found if found and has_uid_characters(found) else None


def put(ds: Dataset, keyword: str, value: object) -> None:
    """Set a value as it is; its form was judged when it was read."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{keyword} is no attribute of PS3.6")
    ds.add(DataElement(tag, dictionary_VR(tag), value, validation_mode=config.IGNORE))


def _decoded(ds: Dataset, keyword: str) -> Any:
    """Return the decoded value, None where it is absent, empty or cannot be decoded."""

    def read() -> Any:
        value = ds.get(keyword)
        str(value)  # text is decoded late
        return None if value == "" else value

    return attempt(read)


def _accepted(vr: str, line: str) -> str | None:
    """Return a line of text if it is a value of this VR (PS3.5 section 6.2)."""
    if vr == "DA":
        found = None if "-" in line else day(line)
        return f"{found:%Y%m%d}" if found is not None and found.year >= _FIRST_YEAR else None
    if not line or (vr == "TM" and not _TIME_FORM.fullmatch(line)):
        return None

    def valid() -> str:
        validate_value(vr, PersonName(line) if vr == "PN" else line, config.RAISE)
        return line

    return attempt(valid)


def _plain(value: object) -> str:
    """Return one line of text: decoded, without control characters and padding."""
    original = getattr(value, "original_string", None)
    line = original if isinstance(original, str) and not isinstance(value, PersonName) else str(value)
    return _CONTROL.sub("", line).strip()
