"""What becomes of a received object beside what is held: decided without a database."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.db.states import InstanceState, StudyState
from node.db.studies.received import REPORTED, SOUND, HeldInstance, Placement, ReceivedInstance, StudyStep, place
from node.reasons import Reason

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACCEPTED, DECLINED, IGNORED = InstanceState.ACCEPTED, InstanceState.DECLINED, InstanceState.IGNORED
QUARANTINED, CONFLICT = InstanceState.QUARANTINED, InstanceState.CONFLICT


def received(state=ACCEPTED, *, digest="new", study="1.2.3", reason=None):
    return ReceivedInstance("a/1", "a", NOW, digest, 10, state, reason, study_instance_uid=study)


def held(state=ACCEPTED, *, digest="held", same_study=True):
    return HeldInstance(digest, state, same_study)


@pytest.mark.parametrize(
    ("study", "step"),
    [(None, StudyStep.OPEN), (StudyState.OPEN, StudyStep.EXTEND), (StudyState.COMPLETE, StudyStep.REOPEN)],
)
@pytest.mark.parametrize("state", REPORTED)
def test_an_image_that_is_reported_opens_or_extends_its_study(state, study, step):
    assert place(received(state), (), study) == Placement(state, None, None, step)


@pytest.mark.parametrize("study", [None, StudyState.OPEN, StudyState.COMPLETE])
def test_our_own_results_do_nothing_to_their_study(study):
    assert place(received(IGNORED), (held(),), study) == Placement(IGNORED, None, None, StudyStep.NONE)


@pytest.mark.parametrize("state", InstanceState)
def test_the_same_bytes_are_a_repetition_whatever_became_of_them(state):
    assert place(received(digest="held"), (held(state),), StudyState.COMPLETE) is None


@pytest.mark.parametrize("state", SOUND)
def test_other_bytes_in_the_same_study_are_a_conflict_that_opens_no_revision(state):
    found = place(received(), (held(state),), StudyState.COMPLETE)
    assert (found.state, found.reason, found.step) == (CONFLICT, Reason.UID_CONFLICT, StudyStep.NONE)


def test_other_bytes_in_another_study_are_quarantined_and_that_study_is_answered():
    found = place(received(), (held(same_study=False),), None)
    assert (found.state, found.reason, found.step) == (QUARANTINED, Reason.UID_CONFLICT, StudyStep.OPEN)


@pytest.mark.parametrize("state", [QUARANTINED, CONFLICT, IGNORED])
def test_a_copy_that_was_not_sound_stands_in_nobodys_way(state):
    assert place(received(), (held(state),), StudyState.OPEN) == Placement(ACCEPTED, None, None, StudyStep.EXTEND)


def test_an_object_without_a_study_is_recorded_alone():
    found = place(received(QUARANTINED, study=None, reason=Reason.MALFORMED), (), None)
    assert found == Placement(QUARANTINED, Reason.MALFORMED, None, StudyStep.NONE)


@given(
    state=st.sampled_from([ACCEPTED, DECLINED, IGNORED, QUARANTINED]),
    others=st.lists(st.builds(HeldInstance, st.sampled_from("abc"), st.sampled_from(InstanceState), st.booleans())),
    study=st.sampled_from([None, *StudyState]),
)
def test_of_one_uid_in_one_study_at_most_one_sound_object_is_held(state, others, study):
    found = place(received(state, digest="a"), others, study)
    if found is not None and found.state in SOUND:
        assert not any(other.state in SOUND for other in others)
    assert (found is None) == any(other.digest == "a" for other in others)
