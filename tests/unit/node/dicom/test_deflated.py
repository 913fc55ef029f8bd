"""Deflated objects (PS3.5 section A.5): only their beginning is read, and results among them are recognised."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.dicom.contexts import accepted_contexts, choose_syntax
from node.dicom.deflated import MAXIMUM_HEAD_BYTES, inflated_head
from node.dicom.header import read_header
from node.dicom.kinds import RESULT_CLASSES
from node.dicom.uids import DEFLATED_LITTLE_ENDIAN
from node.errors import Quarantined
from node.intake.eligibility import Eligibility, judge
from node.reasons import Reason
from tests.support.data import sources
from tests.support.data.deflated import BOMB_BYTES, deflated, image, little_memory, meta_of
from tests.support.peers import wire
from workers.pipelines.chest.pipeline import PIPELINE as CHEST_PIPELINE


@pytest.mark.parametrize("sop_class", [sources.SC, sources.DX])
def test_a_deflated_image_of_another_system_is_answered_with_the_reason(tmp_path: Path, sop_class: str) -> None:
    verdict = judge(read_header(deflated(tmp_path / "x.dcm", image(tmp_path, sop_class))), CHEST_PIPELINE)
    assert (verdict.eligibility, verdict.reason) == (Eligibility.DECLINE, Reason.TRANSFER_SYNTAX)


def test_pixels_that_would_fill_the_memory_are_not_inflated(tmp_path: Path) -> None:
    ds = image(tmp_path)
    del ds.PixelData
    path = deflated(tmp_path / "bomb.dcm", ds, bomb=(0x7FE0, 0x0010))
    assert path.stat().st_size < BOMB_BYTES >> 8
    with little_memory():
        header = read_header(path)
    assert header.sop_instance_uid == sources.uid()


def test_a_bomb_in_front_of_the_uids_is_quarantined(tmp_path: Path) -> None:
    path = deflated(tmp_path / "bomb.dcm", image(tmp_path), bomb=(0x0009, 0x1001))
    with little_memory(), pytest.raises(Quarantined) as caught:
        read_header(path)
    assert caught.value.reason is Reason.TRUNCATED


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"not deflated at all"])
def test_what_is_not_deflated_is_quarantined(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(meta_of(sources.SC, "1.2.3") + content)
    with pytest.raises(Quarantined) as caught:
        read_header(path)
    assert caught.value.reason in (Reason.MALFORMED, Reason.TRUNCATED)


@given(st.binary(max_size=400))
def test_no_bytes_inflate_to_more_than_the_limit_or_raise_anything_else(content: bytes) -> None:
    try:
        assert len(inflated_head(content)) <= MAXIMUM_HEAD_BYTES
    except Quarantined as error:
        assert error.reason is Reason.MALFORMED


def test_every_encoding_that_a_profile_gives_to_results_is_taken_back() -> None:
    accepted = accepted_contexts()
    for row in RESULT_CLASSES:
        assert set(row.transfer_syntaxes) <= set(accepted[row.sop_class_uid]), row.name
    others = set(accepted) - {row.sop_class_uid for row in RESULT_CLASSES}
    assert [uid for uid in others if DEFLATED_LITTLE_ENDIAN in accepted[uid]] == []


def test_deflated_is_chosen_only_where_no_other_syntax_can_be() -> None:
    accepted = accepted_contexts()[sources.SC]
    assert choose_syntax([DEFLATED_LITTLE_ENDIAN, wire.EXPLICIT], accepted) == wire.EXPLICIT
    assert choose_syntax([DEFLATED_LITTLE_ENDIAN, "1.2.3"], accepted) == DEFLATED_LITTLE_ENDIAN
    assert choose_syntax([DEFLATED_LITTLE_ENDIAN], accepted_contexts()[sources.DX]) is None
