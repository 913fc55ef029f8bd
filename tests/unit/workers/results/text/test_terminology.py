"""Every code of the program stands in the tables that the conformance statement is made from."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from pydicom.dataset import Dataset

import models
import workers
from models.values.codes import Code
from node import conformance
from node.delivery.profiles import BUILT_IN
from node.dicom.terminology import CODING_SCHEMES, PRIVATE_CODES, PRIVATE_SCHEME
from node.reasons import Reason
from tests.support.results import result_requests as made
from tests.support.results.encoded import one_image, read
from tests.support.results.optional_results import with_heat_map
from workers.results.encode import encode
from workers.results.text.vocabulary import REASON_MEANINGS, reason_code


def _modules() -> Iterator[ModuleType]:
    for package in (models, workers):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                yield importlib.import_module(found.name)


def _codes() -> set[Code]:
    """Return every code that is a module's constant, in a table or alone."""
    found = set()
    for module in _modules():
        for value in vars(module).values():
            inner = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else (value,)
            found |= {code for code in inner if isinstance(code, Code)}
    return found


def test_every_private_code_has_its_row_and_every_row_its_code() -> None:
    private = {code.value: code.meaning for code in _codes() if code.scheme == PRIVATE_SCHEME}
    assert private == PRIVATE_CODES


def test_the_private_scheme_is_written_in_no_other_module() -> None:
    root = Path(models.__file__).parents[1]
    sources = [path for name in ("node", "workers", "models", "training") for path in (root / name).rglob("*.py")]
    holding = {path.relative_to(root).as_posix() for path in sources if f'"{PRIVATE_SCHEME}"' in path.read_text()}
    # models knows no node.
    assert holding == {"node/dicom/terminology.py", "models/values/codes.py"}


def test_no_uid_of_the_standard_is_written_twice() -> None:
    """In `node` and `workers`; `models` knows neither and has a few of its own."""
    root = Path(models.__file__).parents[1]
    written = Counter(
        uid
        for name in ("node", "workers")
        for path in (root / name).rglob("*.py")
        for uid in re.findall(r'"(1\.2\.840\.10008\.[\d.]+)"', path.read_text())
    )
    assert len(written) > 30
    assert [uid for uid, count in written.items() if count > 1] == []


def test_every_coding_scheme_of_a_code_or_a_result_is_listed(tmp_path: Path) -> None:
    request = one_image(tmp_path)
    image = with_heat_map(made.with_pneumothorax(request.images[0], None))
    request = replace(request, images=(image,), bundles=(*request.bundles, made.CLASSIFIER, made.OUTLINE))
    results = [read(result) for result in encode(request, profile=BUILT_IN["complete"])]
    used = {
        str(ds.CodingSchemeDesignator) for result in results for ds in _items(result) if "CodingSchemeDesignator" in ds
    }
    assert used | {code.scheme for code in _codes()} == set(CODING_SCHEMES)


def _items(ds: Dataset) -> Iterator[Dataset]:
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield item
                yield from _items(item)


def test_the_statement_lists_every_code_and_scheme() -> None:
    text = conformance.statement()
    for value, meaning in (*PRIVATE_CODES.items(), *CODING_SCHEMES.items()):
        assert f"| {value} | {meaning} |" in text


def test_every_reason_has_a_meaning_of_its_own() -> None:
    assert set(REASON_MEANINGS) == set(Reason)
    assert len({reason_code(reason).meaning for reason in Reason}) == len(Reason)
    assert not set(Reason) & set(PRIVATE_CODES)
