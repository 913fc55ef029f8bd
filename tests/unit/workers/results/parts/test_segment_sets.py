"""BINARY frames that begin in the middle of a byte or end in padding, which OHIF 3.13.2 does not read."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.delivery.profiles import BUILT_IN, OHIF, STRICT, Profile
from node.dicom.kinds import ResultKind
from tests.support.results.encoded import one_image, read
from workers.results.encode import encode


def frames_of_segs(folder: Path, profile: Profile, *, rows: int, columns: int) -> list[int]:
    results = encode(one_image(folder, rows=rows, columns=columns), profile=profile)
    return [int(read(r).NumberOfFrames) for r in results if r.kind is ResultKind.SEG]


@pytest.mark.parametrize("size", [(97, 83), (98, 84), (101, 88)])
@pytest.mark.parametrize("profile", [OHIF, BUILT_IN["complete"]], ids=lambda profile: profile.name)
def test_for_ohif_each_segment_is_a_seg_of_its_own_where_frames_do_not_fill_words(
    tmp_path: Path, profile: Profile, size: tuple[int, int]
) -> None:
    assert frames_of_segs(tmp_path, profile, rows=size[0], columns=size[1]) == [1, 1, 1]


def test_their_series_differ_and_name_the_segment(tmp_path: Path) -> None:
    results = encode(one_image(tmp_path, rows=97, columns=83), profile=OHIF)
    segs = [read(r) for r in results if r.kind is ResultKind.SEG]
    assert len({seg.SeriesInstanceUID for seg in segs}) == 3
    for seg, name in zip(segs, ("right lung", "left lung", "heart"), strict=True):
        assert name in seg.SeriesDescription


@pytest.mark.parametrize("size", [(96, 83), (97, 80), (100, 84)])
def test_a_bundle_has_one_seg_where_frames_fill_words(tmp_path: Path, size: tuple[int, int]) -> None:
    assert frames_of_segs(tmp_path, OHIF, rows=size[0], columns=size[1]) == [3]


def test_the_strict_profile_keeps_one_seg_for_a_bundle(tmp_path: Path) -> None:
    assert frames_of_segs(tmp_path, STRICT, rows=97, columns=83) == [3]
