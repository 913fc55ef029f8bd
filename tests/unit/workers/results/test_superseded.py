"""What a later revision says of results that it makes no more: the node cannot delete them in an archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from models.values import codes
from node.delivery.profiles import BUILT_IN, OHIF, Profile
from node.dicom.kinds import ResultKind
from node.reasons import Reason
from tests.support.data import sources
from tests.support.results import result_requests as made
from tests.support.results.encoded import items, named, read
from tests.support.results.optional_results import with_heat_map
from workers.results.encode import encode
from workers.results.request import DeclinedImage, EncodedResult, Predecessor, ResultRequest
from workers.results.text import vocabulary

STATES = BUILT_IN["presentation-state"]
COMPLETE = BUILT_IN["complete"]


def _positive(folder: Path) -> ResultRequest:
    image = with_heat_map(made.with_pneumothorax(made.image(sources.uid()), codes.LEFT))
    return made.diseases((sources.source(folder),), image)


def _negative(request: ResultRequest) -> ResultRequest:
    (image,) = request.images
    nothing = replace(
        image,
        findings=tuple(replace(f, probability=0.01) for f in image.findings),
        segments=(),
        measurements=(),
        heat_maps=(),
    )
    return replace(request, images=(nothing,), revision=2)


def _declined(request: ResultRequest) -> ResultRequest:
    declined = DeclinedImage(sources.uid(), Reason.ANALYSIS_FAILED, "")
    return replace(request, images=(), declined=(declined,), bundles=(), revision=2)


def _predecessors(results: Sequence[EncodedResult]) -> list[Predecessor]:
    return [Predecessor(r.sop_class_uid, r.sop_instance_uid, r.series_instance_uid) for r in results]


def _of(results: Sequence[EncodedResult], kind: ResultKind) -> Dataset:
    (found,) = (result for result in results if result.kind is kind)
    return read(found)


@pytest.mark.parametrize("later", [_negative, _declined])
def test_a_selection_that_no_longer_holds_is_withdrawn_by_the_next_of_its_series(tmp_path: Path, later) -> None:
    request = _positive(tmp_path)
    first = encode(request, profile=STATES)
    second = encode(later(request), profile=STATES, predecessors=_predecessors(first))
    assert [result.kind for result in second] == [ResultKind.SR, ResultKind.KO]
    before, ds = _of(first, ResultKind.KO), _of(second, ResultKind.KO)
    assert before.SeriesInstanceUID == ds.SeriesInstanceUID
    assert before.InstanceNumber < ds.InstanceNumber
    (said,) = named(ds, "113012")
    assert "Nothing is selected in revision 2" in said.TextValue
    assert "present" not in said.TextValue
    referred = [r.ReferencedSOPInstanceUID for i in items(ds) for r in i.get("ReferencedSOPSequence", ())]
    assert referred == [_of(second, ResultKind.SR).SOPInstanceUID]
    third = encode(replace(later(request), revision=3), profile=STATES, predecessors=_predecessors(second))
    assert "revision 3" in named(_of(third, ResultKind.KO), "113012")[0].TextValue


def test_nothing_is_withdrawn_where_nothing_was_selected(tmp_path: Path) -> None:
    request = _negative(_positive(tmp_path))
    first = encode(replace(request, revision=1), profile=STATES)
    second = encode(request, profile=STATES, predecessors=_predecessors(first))
    assert [result.kind for result in second] == [ResultKind.SR]
    assert named(_of(second, ResultKind.SR), vocabulary.PREDECESSOR.value) == []


WORDS = {
    "en": "What they show no longer holds",
    "de": "Was sie zeigen, gilt nicht mehr",
    "fr": "ce qu'ils montrent n'est plus valable",
}


@pytest.mark.parametrize("language", WORDS)
@pytest.mark.parametrize("profile", [OHIF, STATES, COMPLETE], ids=lambda profile: profile.name)
def test_the_report_names_every_result_that_no_longer_holds(tmp_path: Path, profile: Profile, language: str) -> None:
    spoken = profile.model_copy(update={"language": language})
    request = _positive(tmp_path)
    first = encode(request, profile=spoken)
    second = encode(_negative(request), profile=spoken, predecessors=_predecessors(first))
    sr = _of(second, ResultKind.SR)
    text, *references = named(sr, vocabulary.PREDECESSOR.value)
    assert WORDS[language].lower() in text.TextValue.lower()
    assert f"({', '.join(dict.fromkeys(r.kind for r in first if r.kind is not ResultKind.SR))})" in text.TextValue
    referred = [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in references]
    assert referred == [r.sop_instance_uid for r in first if r.kind is not ResultKind.SR]
