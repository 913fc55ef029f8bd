"""Findings as bytes and back: compact, with a version, checked by a digest of their own.

A file is the SHA-256 of the rest in hexadecimal digits, a line feed, and an npz archive: the values as JSON, and each
array beside them, masks as one bit a pixel. What is read equals what was written, to the last bit, so that the results
made of it have the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from io import BytesIO
from typing import Any, TypeVar, get_origin
from zipfile import BadZipFile

import numpy as np
from cattrs import Converter
from cattrs.errors import BaseValidationError, ForbiddenExtraKeysError
from numpy.typing import NDArray
from pydantic import BaseModel

from node.errors import HilumError
from node.spool.findings import FindingsKey

F = TypeVar("F")

VERSION = 1
"""Of the form of the file and of every value in it; another one is as good as absent."""

_VALUES = "values"
_MISFITS = (KeyError, ValueError, TypeError, BadZipFile, EOFError, BaseValidationError, ForbiddenExtraKeysError)


class Unusable(HilumError):
    """Stored findings that cannot be used: damaged, or of another version, kind or key. They are made again."""


def encoded(findings: object, key: FindingsKey, *, heat_maps: bool = False) -> bytes:
    """Return findings as bytes: a frozen dataclass of values, tuples, enumerations and arrays.

    Parameters
    ----------
    key
        What they were made of; it stands in the bytes, too.
    heat_maps
        Whether heat maps were asked for when they were made.
    """
    arrays: dict[str, NDArray[Any]] = {}
    converter = _converter(arrays)
    tree = converter.unstructure(findings)
    head = {
        "version": VERSION,
        "kind": type(findings).__name__,
        "key": asdict(key),
        "heat_maps": heat_maps,
        "findings": tree,
    }
    text = np.frombuffer(json.dumps(head, ensure_ascii=False, allow_nan=False).encode(), np.uint8)
    buffer = BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{_VALUES: text, **arrays})
    content = buffer.getvalue()
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def decoded(content: bytes, kind: type[F], key: FindingsKey, *, heat_maps: bool = False) -> F | None:
    """Return findings from bytes; None where heat maps are asked for and they were made without.

    Raises
    ------
    Unusable
        The bytes are damaged, or hold another version or another kind, or findings of something else.
    """
    digest, _, rest = content.partition(b"\n")
    if hashlib.sha256(rest).hexdigest().encode() != digest:
        raise Unusable("the digest does not match")
    try:
        with np.load(BytesIO(rest), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        head = json.loads(arrays.pop(_VALUES).tobytes())
        if (head["version"], head["kind"]) != (VERSION, kind.__name__):
            raise Unusable(f"version {head['version']} of {head['kind']}, {VERSION} of {kind.__name__} was expected")
        if head["key"] != asdict(key):
            raise Unusable("they are of another pipeline, image or configuration")
        if heat_maps and not head["heat_maps"]:
            return None
        return _converter(arrays).structure(head["findings"], kind)
    except _MISFITS as error:
        raise Unusable(f"they cannot be read ({type(error).__name__})") from error


def _converter(arrays: dict[str, NDArray[Any]]) -> Converter:
    """Return what turns values into JSON and back, and moves arrays to `arrays` or takes them from there."""
    converter = Converter(forbid_extra_keys=True)

    def put(array: NDArray[Any]) -> dict[str, Any]:
        name = f"array_{len(arrays)}"
        is_mask = array.dtype == np.bool_
        arrays[name] = np.packbits(array) if is_mask else np.ascontiguousarray(array)
        return {"array": name, "shape": list(array.shape), "mask": is_mask}

    def get(value: dict[str, Any], _kind: Any) -> NDArray[Any]:
        stored, shape = arrays[value["array"]], tuple(value["shape"])
        if not value["mask"]:
            return stored.reshape(shape)
        return np.unpackbits(stored, count=int(np.prod(shape))).astype(np.bool_).reshape(shape)

    converter.register_unstructure_hook_func(_is_array, put)
    converter.register_structure_hook_func(_is_array, get)
    converter.register_unstructure_hook_func(_is_model, lambda value: value.model_dump(mode="json"))
    converter.register_structure_hook_func(_is_model, lambda value, kind: kind.model_validate(value))
    # cattrs does not resolve the annotations of a NamedTuple; ours hold numbers only, which JSON keeps.
    converter.register_structure_hook_func(_is_point, lambda value, kind: kind(*value))
    converter.register_unstructure_hook_func(_is_number, lambda value: value.item())
    return converter


def _is_array(kind: Any) -> bool:
    return (get_origin(kind) or kind) is np.ndarray


def _is_number(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, np.generic)


def _is_point(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
