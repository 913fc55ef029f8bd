"""When a study counts as complete."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from node.intake.completion import CompletionReason, decide
from node.settings import CompletionSettings

START = datetime(2026, 1, 1, tzinfo=UTC)
RULES = CompletionSettings(release_s=2, quiet_s=15, cap_s=600)


def reason(*, after_s, outcomes=("released",), last_s=0.0, held=1, archive=None, recent=0, opened_s=0.0):
    return decide(
        RULES,
        now=START + timedelta(seconds=after_s),
        opened_at=START + timedelta(seconds=opened_s),
        last_arrival_at=START + timedelta(seconds=last_s),
        outcomes=outcomes,
        held=held,
        recent=recent,
        archive_count=archive,
    )


def test_a_clean_release_closes_after_its_pause():
    assert reason(after_s=1.9) is None
    assert reason(after_s=2) is CompletionReason.RELEASED


def test_one_association_for_each_image_waits_for_the_last():
    assert reason(after_s=3.5, outcomes=("released", "released"), last_s=3.0) is None


def test_an_open_or_aborted_association_waits_for_quiet():
    for outcome in (None, "aborted"):
        assert reason(after_s=14, outcomes=("released", outcome)) is None
        assert reason(after_s=15, outcomes=("released", outcome)) is CompletionReason.QUIET


def test_a_steady_trickle_ends_at_the_cap():
    assert reason(after_s=599, outcomes=(None,), last_s=598) is None
    assert reason(after_s=600, outcomes=(None,), last_s=599) is CompletionReason.CAP


def test_the_archives_count_closes_at_once_and_only_when_reached():
    assert reason(after_s=0.1, outcomes=(None,), held=2, archive=2) is CompletionReason.COUNT
    assert reason(after_s=0.1, outcomes=(None,), held=1, archive=2) is None
    assert reason(after_s=0.1, outcomes=(None,), held=1, archive=0) is None


def test_a_revision_opened_by_rerun_waits_for_nothing():
    assert reason(after_s=0, outcomes=()) is CompletionReason.RERUN


@given(
    outcomes=st.lists(st.sampled_from([None, "aborted", "released"]), min_size=1),
    after=st.floats(0, 1000),
    last=st.floats(0, 1000),
)
def test_an_aborted_association_never_counts_as_release(outcomes, after, last):
    found = reason(after_s=after, outcomes=outcomes, last_s=min(last, after))
    if found is CompletionReason.RELEASED:
        assert set(outcomes) == {"released"}


def test_many_revisions_within_an_hour_make_the_next_one_wait_longer_and_longer():
    assert reason(after_s=2, recent=2) is CompletionReason.RELEASED
    for recent, waits_s in ((3, 60), (4, 120), (5, 240)):
        assert reason(after_s=waits_s - 1, recent=recent) is None
        assert reason(after_s=waits_s - 1, recent=recent, archive=1) is None
        assert reason(after_s=waits_s, recent=recent) is CompletionReason.RELEASED
    assert reason(after_s=600, last_s=599, recent=9) is CompletionReason.CAP
    assert reason(after_s=0, outcomes=(), recent=9) is CompletionReason.RERUN


def test_images_that_come_one_by_one_for_ten_minutes_make_few_revisions():
    closed, opened_s, last_s = 0, None, 0.0
    for second in range(1500):
        if second < 600 and second % 24 == 0:
            opened_s, last_s = opened_s if opened_s is not None else float(second), float(second)
        if opened_s is not None and reason(after_s=second, last_s=last_s, opened_s=opened_s, recent=closed):
            closed, opened_s = closed + 1, None
    assert opened_s is None
    assert closed == 4
