"""A source is read once for a job: no builder changes the header that the next profile's objects are made from."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest

from tests.support.results.optional_results import CASES, COMPLETE
from workers.results.encode import encode


@pytest.mark.parametrize("name", CASES)
def test_encoding_leaves_the_headers_of_its_sources_as_they_are(tmp_path: Path, name: str) -> None:
    request = CASES[name](tmp_path)
    before = [deepcopy(source.header) for source in request.sources]
    encode(request, profile=COMPLETE)
    for header, source in zip(before, request.sources, strict=True):
        assert header.to_json() == source.header.to_json()
