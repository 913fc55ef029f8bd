"""Key Object Selections: what they refer to, and when there is one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from highdicom.ko import KeyObjectSelectionDocument

from node.dicom.kinds import ResultKind
from tests.support.data import sources
from tests.support.peers.readers import program, run
from tests.support.results import result_requests as made
from tests.support.results.encoded import read
from tests.support.results.interoperability import record
from tests.support.results.optional_results import CASES, COMPLETE, one, results, stored
from workers.results.encode import encode
from workers.results.request import Predecessor

KEYS = COMPLETE.model_copy(update={"objects": (ResultKind.SEG, ResultKind.SR, ResultKind.KO)})


def test_key_objects_are_the_positive_image_its_segs_and_the_report(tmp_path: Path) -> None:
    paths = tuple(sources.source(tmp_path, number=n) for n in (1, 2))
    positive, negative = made.image(sources.uid(1)), replace(made.image(sources.uid(2)), findings=())
    request = made.request(paths, (positive, negative))
    made_of = encode(request, profile=KEYS)
    (selection,) = (result for result in made_of if result.kind is ResultKind.KO)
    segs, others = ([r for r in made_of if r.kind is kind] for kind in (ResultKind.SEG, ResultKind.SR))
    shown = [
        seg.sop_instance_uid
        for seg in segs
        if read(seg).SourceImageSequence[0].ReferencedSOPInstanceUID == sources.uid(1)
    ]
    ds = KeyObjectSelectionDocument.from_dataset(read(selection))
    referred = [item.referenced_sop_instance_uid for item in ds.content.get_references()]
    assert referred == [sources.uid(1), *shown, *(report.sop_instance_uid for report in others)]
    assert len(segs) > len(shown) > 0
    for uid in referred:
        assert ds.resolve_reference(uid)[0] == request.study_instance_uid


@pytest.mark.interoperability
def test_dsrdump_reads_why_to_look(tmp_path: Path) -> None:
    dsrdump = program("dsrdump")
    (result,) = results(CASES["DX"](tmp_path), ResultKind.KO)
    done = run(dsrdump, "+Pl", stored(result, tmp_path))
    assert done.returncode == 0
    assert "Pneumothorax: present on the left (calibrated probability 0.910" in done.stdout
    assert "Atelectasis" not in done.stdout
    record(source="DX", object="KO", profile="complete", reader="DCMTK dsrdump")


def test_a_study_without_findings_has_key_objects_only_if_it_is_urgent(tmp_path: Path) -> None:
    path = sources.source(tmp_path)
    request = made.request((path,), (replace(made.image(sources.uid()), findings=()),))
    assert results(request, ResultKind.KO) == []
    ds = one(replace(request, urgent=True), ResultKind.KO)
    assert any("nothing found above a threshold" in item.get("TextValue", "") for item in ds.ContentSequence)


def test_the_withdrawal_of_a_selection_is_valid(tmp_path: Path) -> None:
    dciodvfy, dsrdump = program("dciodvfy"), program("dsrdump")
    request = CASES["DX"](tmp_path)
    (image,) = request.images
    earlier = [
        Predecessor(r.sop_class_uid, r.sop_instance_uid, r.series_instance_uid)
        for r in encode(request, profile=COMPLETE)
    ]
    nothing = replace(image, findings=(), segments=(), measurements=(), heat_maps=())
    second = encode(replace(request, images=(nothing,), revision=2), profile=COMPLETE, predecessors=earlier)
    documents = [result for result in second if result.kind in (ResultKind.SR, ResultKind.KO)]
    assert len(documents) == 2
    for result in documents:
        said = run(dciodvfy, "-new", stored(result, tmp_path)).stderr.splitlines()
        assert [line for line in said if line.startswith("Error")] == []
        done = run(dsrdump, "+Pl", stored(result, tmp_path))
        assert done.returncode == 0
        assert "no longer holds" in done.stdout


def test_an_image_that_cannot_be_referred_to_is_no_key_object(tmp_path: Path) -> None:
    path = sources.source(tmp_path)
    invalid = sources.with_invalid_uids(path)
    assert results(made.request((path,), (made.image(invalid),)), ResultKind.KO) == []
