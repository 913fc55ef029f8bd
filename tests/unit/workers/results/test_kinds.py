"""Each kind of result has what makes and checks it, in an order in which every object finds those that it refers to."""

from __future__ import annotations

from node.dicom.kinds import KINDS, ResultKind, Scope
from workers.results.kinds import MAKING


def test_every_kind_can_be_made() -> None:
    assert set(MAKING) == set(ResultKind)


def test_what_speaks_of_an_image_is_made_before_what_speaks_of_the_study() -> None:
    scopes = [KINDS[kind].scope for kind in MAKING]
    assert scopes == sorted(scopes, key=[Scope.IMAGE, Scope.STUDY].index)


def test_reports_follow_the_segmentations_that_they_name_and_selections_the_report() -> None:
    order = list(MAKING)
    assert order.index(ResultKind.SEG) < order.index(ResultKind.SR) < order.index(ResultKind.KO)


def test_what_speaks_of_the_study_names_every_bundle_of_the_request() -> None:
    assert {kind for kind, making in MAKING.items() if making.bundles is None} == {
        kind for kind, facts in KINDS.items() if facts.scope is Scope.STUDY
    }
