"""What the conformance statement says of the origin of results, compared with the objects themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from node.dicom.kinds import KINDS, ResultKind
from tests.support.results.encoded import read
from tests.support.results.optional_results import COMPLETE, request_of
from workers.results.encode import encode
from workers.results.request import EncodedResult, Predecessor

FRAME_OF_REFERENCE = "1.2.3"
POSITION: dict[str, Any] = {"ImagePositionPatient": [1, 2, 3], "ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}
PLACES = {
    "nothing": {},
    "frame-of-reference": {"FrameOfReferenceUID": FRAME_OF_REFERENCE},
    "position": {"FrameOfReferenceUID": FRAME_OF_REFERENCE, **POSITION},
}
REQUESTS = {"RequestAttributesSequence", "ReferencedRequestSequence"}
PREDECESSORS = {"ReferencedInstanceSequence", "PredecessorDocumentsSequence"}


def results(folder: Path, **values: Any) -> list[tuple[ResultKind, Dataset]]:
    """Return the results of a second revision of an image with an order."""
    asked = Dataset()
    asked.RequestedProcedureID, asked.ScheduledProcedureStepID = "RP-1", "1"
    request = request_of(RequestAttributesSequence=[asked], **values)(folder)
    earlier = [_predecessor(result) for result in encode(request, profile=COMPLETE)]
    again = encode(replace(request, revision=2), profile=COMPLETE, predecessors=earlier)
    return [(result.kind, read(result)) for result in again]


def _predecessor(result: EncodedResult) -> Predecessor:
    return Predecessor(result.sop_class_uid, result.sop_instance_uid, result.series_instance_uid)


@pytest.mark.parametrize("place", PLACES)
def test_each_kind_of_result_says_what_it_comes_from_where_the_statement_says_so(tmp_path: Path, place: str) -> None:
    found = results(tmp_path, **PLACES[place])
    assert {kind for kind, _ in found} == set(KINDS)
    for kind, ds in found:
        origin = KINDS[kind]
        assert origin.sources in ds, kind
        assert {keyword for keyword in REQUESTS if keyword in ds} == {origin.order}, kind
        assert {keyword for keyword in PREDECESSORS if keyword in ds} == {origin.predecessor} - {None}, kind
        is_placed = kind is ResultKind.PM or (origin.has_frame_of_reference and place != "nothing")
        assert ("FrameOfReferenceUID" in ds) is is_placed, kind


@pytest.mark.parametrize("place", PLACES)
def test_only_a_heat_map_has_a_frame_of_reference_that_is_not_its_sources(tmp_path: Path, place: str) -> None:
    own = {
        kind
        for kind, ds in results(tmp_path, **PLACES[place])
        if ds.get("FrameOfReferenceUID") not in (None, FRAME_OF_REFERENCE)
    }
    assert own == (set() if place == "position" else {ResultKind.PM})


def test_a_made_up_place_is_the_one_that_the_statement_names(tmp_path: Path) -> None:
    (heat_map,) = (ds for kind, ds in results(tmp_path) if kind is ResultKind.PM)
    frame = heat_map.PerFrameFunctionalGroupsSequence[0]
    shared = heat_map.SharedFunctionalGroupsSequence[0]
    (position,) = (g.PlanePositionSequence[0] for g in (frame, shared) if "PlanePositionSequence" in g)
    (orientation,) = (g.PlaneOrientationSequence[0] for g in (frame, shared) if "PlaneOrientationSequence" in g)
    assert list(position.ImagePositionPatient) == [0, 0, 0]
    assert list(orientation.ImageOrientationPatient) == [1, 0, 0, 0, 1, 0]
