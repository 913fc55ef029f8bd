"""Images of one study whose headers disagree: each is answered, and nothing is withheld."""

from __future__ import annotations

from pathlib import Path

from node.delivery.profiles import OHIF
from node.dicom.kinds import ResultKind
from tests.support.data import sources
from tests.support.results import result_requests as made
from tests.support.results.encoded import read
from workers.results.encode import encode


def test_the_seg_of_each_image_has_the_study_id_of_its_own_source(tmp_path: Path) -> None:
    paths = tuple(sources.source(tmp_path, number=n, StudyID=f"S{n}") for n in (1, 2))
    request = made.request(paths, tuple(made.image(sources.uid(n)) for n in (1, 2)))
    results = encode(request, profile=OHIF)
    assert [read(result).StudyID for result in results if result.kind is ResultKind.SEG] == ["S1", "S2"]
