"""Which attributes an object of a SOP class must and may have: the module tables of PS3.3, as highdicom ships them.

They are files of a private package of it, `highdicom/_standard`: what reads them here is one reason why its next minor
version is excluded in pyproject.toml, and has to be looked at before that limit is raised.

The tables hold types and nesting, and not the conditions of Type 1C and 2C, which are words; `preflight` states those
that results meet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

_STRICTNESS = {"1": 0, "2": 1, "1C": 2, "2C": 3, "3": 4}
"""Of the types of an attribute (PS3.5 section 7.4), the strictest first."""

_RECURSIVE = ("ContentSequence", "EquivalentCodeSequence")
"""Sequences that hold themselves (PS3.3 sections C.17.3 and 8.9); the tables spell out one or two levels."""

_MACROS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
"""Which functional group stands in which of them is free (PS3.3 section C.7.6.16)."""

# PS3.3 Table C.17.3-7 and the macros below it: what a content item of each Value Type (0040,A040) must have
VALUE_MACROS = {
    "CODE": ("ConceptCodeSequence",),
    "COMPOSITE": ("ReferencedSOPSequence",),
    "CONTAINER": ("ContinuityOfContent",),
    "DATE": ("Date",),
    "DATETIME": ("DateTime",),
    "IMAGE": ("ReferencedSOPSequence",),
    "NUM": ("MeasuredValueSequence",),
    "PNAME": ("PersonName",),
    "SCOORD": ("GraphicType", "GraphicData"),
    "SCOORD3D": ("GraphicType", "GraphicData", "ReferencedFrameOfReferenceUID"),
    "TCOORD": ("TemporalRangeType",),
    "TEXT": ("TextValue",),
    "TIME": ("Time",),
    "UIDREF": ("UID",),
    "WAVEFORM": ("ReferencedSOPSequence",),
}
_OF_VALUE_TYPES = frozenset(
    {keyword for keywords in VALUE_MACROS.values() for keyword in keywords} | {"TabulatedValuesSequence"}
)

Path = tuple[str, ...]


@dataclass(frozen=True)
class Attributes:
    """The attributes of one IOD, by the keywords of the sequences around them.

    `types` has the type of each. Where several modules list an attribute, the mandatory one decides; at the top level,
    those of modules that need not be there count as Type 3.
    """

    types: dict[Path, dict[str, str]]

    def missing(self, ds: Dataset) -> Iterator[str]:
        """Say which attribute has no value (Type 1), is empty (Type 1C), or is not there (Type 2)."""
        yield from self._missing(ds, ())

    def strange(self, ds: Dataset) -> Iterator[str]:
        """Say which attribute is private, or none of the IOD's."""
        yield from self._strange(ds, ())

    def _missing(self, ds: Dataset, path: Path) -> Iterator[str]:
        for keyword, kind in self.types.get(path, {}).items():
            if kind == "1" and (keyword not in ds or _is_empty(ds[keyword].value)):
                yield f"{_named(path, keyword)} is missing or empty, expected a value (Type 1)"
            elif kind == "2" and keyword not in ds:
                yield f"{_named(path, keyword)} is missing, expected a value or an empty one (Type 2)"
            elif kind == "1C" and keyword in ds and _is_empty(ds[keyword].value):
                yield f"{_named(path, keyword)} is empty, expected a value, or none at all (Type 1C)"
        for keyword in VALUE_MACROS.get(str(ds.get("ValueType")), ()):
            if keyword not in ds or _is_empty(ds[keyword].value):
                yield f"{_named(path, keyword)} is missing or empty, a content item {ds.ValueType} needs it (Type 1C)"
        for keyword, item in _items(ds):
            yield from self._missing(item, _inside(path, keyword))

    def _strange(self, ds: Dataset, path: Path) -> Iterator[str]:
        known = self.types.get(path, {})
        for element in ds:
            keyword = keyword_for_tag(element.tag)
            if element.tag.is_private or (keyword not in known and keyword not in path[-1:]):
                name = keyword if keyword else f"({element.tag.group:04x},{element.tag.element:04x})"
                yield f"{_named(path, name)} is no attribute of this kind of object"
        for keyword, item in _items(ds):
            if keyword in known or keyword in path[-1:]:
                yield from self._strange(item, _inside(path, keyword))


@cache
def attributes(sop_class_uid: str) -> Attributes:
    """Return the attributes of the IOD of a SOP class.

    Raises
    ------
    KeyError
        The tables do not know the SOP class.
    """
    iods, modules = _table("iod_module_map"), _table("module_attribute_map")
    types: dict[Path, dict[str, str]] = {}
    mandatory: set[tuple[Path, str]] = set()
    for module in sorted(iods[_table("sop_class_iod_map")[sop_class_uid]], key=lambda row: row["usage"] != "M"):
        is_mandatory = module["usage"] == "M"
        for row in modules[module["key"]]:
            path, keyword = _collapsed(tuple(row["path"])), row["keyword"]
            kind = "3" if _is_free(path, keyword) or not (is_mandatory or path) else row["type"]
            listed = types.setdefault(path, {})
            if (path, keyword) in mandatory and not is_mandatory:
                continue
            if keyword not in listed or _STRICTNESS[kind] > _STRICTNESS[listed[keyword]]:
                listed[keyword] = kind
            if is_mandatory:
                mandatory.add((path, keyword))
    return Attributes(types)


def keywords(*modules: str) -> tuple[str, ...]:
    """Return the attributes at the top level of modules, by the names that the tables give these."""
    table = _table("module_attribute_map")
    return tuple(row["keyword"] for module in modules for row in table[module] if not row["path"])


def _is_free(path: Path, keyword: str) -> bool:
    """Return whether the table calls an attribute mandatory that only the macro in use makes so."""
    return path[-1:] in [(name,) for name in _MACROS] or (
        keyword in _OF_VALUE_TYPES and path[-1:] in ((), ("ContentSequence",))
    )


@cache
def _table(name: str) -> Any:
    return json.loads(resources.files("highdicom").joinpath(f"_standard/{name}.json").read_text(encoding="utf-8"))


def _inside(path: Path, keyword: str) -> Path:
    return _collapsed((*path, keyword))


def _collapsed(path: Path) -> Path:
    """Return the path of a sequence within itself as that of its first level."""
    for keyword in _RECURSIVE:
        if keyword in path:
            last = len(path) - 1 - path[::-1].index(keyword)
            path = (*path[: path.index(keyword)], *path[last:])
    return path


def _items(ds: Dataset) -> Iterator[tuple[str, Dataset]]:
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield keyword_for_tag(element.tag), item


def _is_empty(value: Any) -> bool:
    return value is None or (hasattr(value, "__len__") and len(value) == 0)


def _named(path: Path, keyword: str) -> str:
    return ".".join((*path, keyword))
