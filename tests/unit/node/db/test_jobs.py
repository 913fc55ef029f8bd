"""Jobs and deliveries as rows: claims, leases, retries, and that nothing is done twice. On SQLite and PostgreSQL."""

from dataclasses import replace

import pytest

from node.db import audit, deliveries, jobs, report, studies
from node.db.deliveries import Settlement
from node.db.states import DeliveryState, InstanceState, JobState
from node.db.tables import JobRow
from node.dicom.status import Disposition
from node.errors import StaleClaim
from node.reasons import Reason
from tests.support.rows import DECISION, RESULT, arrive, claimed_job, publish, queued_job, reclaim, state_of
from tests.support.stand_ins import NOW, at, later

# Instances and studies


def test_the_same_bytes_again_are_no_second_instance(any_database):
    with any_database.write() as tx:
        assert arrive(tx, 1) is InstanceState.ACCEPTED
        assert arrive(tx, 2, sop="1.2.3.1", digest=f"{1:064d}") is None
        (study,) = studies.open_studies(tx)
    assert study.instances == 1


def test_the_same_uid_with_other_bytes_is_kept_as_a_conflict(any_database):
    with any_database.write() as tx:
        arrive(tx, 1)
        assert arrive(tx, 2, sop="1.2.3.1") is InstanceState.CONFLICT
        (study,) = studies.open_studies(tx)
        assert [i.digest for i in studies.instances_of(tx, study.id, revision=1)] == [f"{1:064d}"]
        assert [e.action for e in audit.events(tx, study_id=study.id)].count("instance.conflict") == 1


def test_a_sound_image_sent_after_a_damaged_copy_is_analysed(any_database):
    with any_database.write() as tx:
        assert arrive(tx, 1, state=InstanceState.QUARANTINED) is InstanceState.QUARANTINED
        assert arrive(tx, 2, sop="1.2.3.1") is InstanceState.ACCEPTED
        (study,) = studies.open_studies(tx)
        assert [i.digest for i in studies.instances_of(tx, study.id, revision=1)] == [f"{2:064d}"]


def test_a_job_leaves_out_the_images_of_a_later_revision(any_database):
    queued_job(any_database, 1)
    with any_database.write() as tx:
        arrive(tx, 7, study="1.2.1")
        (study,) = studies.open_studies(tx)
        assert len(studies.instances_of(tx, study.id, revision=1)) == 1
        assert len(studies.instances_of(tx, study.id, revision=2)) == 2


def test_a_file_recorded_twice_after_a_crash_changes_nothing(any_database):
    with any_database.write() as tx:
        arrive(tx, 1)
        before = len(list(audit.events(tx)))
        assert arrive(tx, 1) is None
        assert len(list(audit.events(tx))) == before


def test_a_late_image_opens_the_next_revision_of_the_same_study(any_database):
    first = queued_job(any_database, 1)
    with any_database.write() as tx:
        arrive(tx, 7, study="1.2.1")
        (study,) = studies.open_studies(tx)
        assert (study.revision, study.instances, study.outcomes) == (2, 2, ("released",))
        tx.now = later(20)
        second = studies.complete(tx, study.id, reason="quiet", decision=DECISION)
    assert second != first


def test_our_own_results_open_nothing(any_database):
    with any_database.write() as tx:
        assert arrive(tx, 1, state=InstanceState.IGNORED) is InstanceState.IGNORED
        assert studies.open_studies(tx) == []


def test_a_declined_image_alone_still_makes_a_job(any_database):
    with any_database.write() as tx:
        arrive(tx, 1, state=InstanceState.DECLINED)
        (study,) = studies.open_studies(tx)
        tx.now = NOW
        assert studies.complete(tx, study.id, reason="released", decision=DECISION) is not None
        (instance,) = studies.instances_of(tx, study.id, revision=1)
        assert instance.reason is Reason.LATERAL_VIEW


def test_an_open_association_shows_in_the_outcomes(any_database):
    with any_database.write() as tx:
        arrive(tx, 1, outcome=None)
        assert studies.open_studies(tx)[0].outcomes == (None,)
        arrive(tx, 1, outcome="aborted")
        assert studies.open_studies(tx)[0].outcomes == ("aborted",)


# Jobs


def test_a_job_is_sent_once_and_again_only_when_stale(any_database):
    job_id = queued_job(any_database)
    with any_database.write() as tx:
        tx.now = later(5)
        assert [j.id for j in jobs.due(tx, resend_after_s=20, window=8)] == [job_id]
        tx.now = later(5)
        jobs.mark_sent(tx, job_id, queue="analysis.cpu")
        tx.now = later(6)
        assert jobs.due(tx, resend_after_s=20, window=8) == []
        tx.now = later(26)
        assert [j.id for j in jobs.due(tx, resend_after_s=20, window=8)] == [job_id]


def test_stat_goes_first_and_is_not_held_by_the_window(any_database):
    routine = [queued_job(any_database, n) for n in (1, 2, 3)]
    stat = queued_job(any_database, 4, decision=studies.RoutingDecision("er", "chest", "STAT", None, []))
    with any_database.write() as tx:
        tx.now = later(9)
        due = jobs.due(tx, resend_after_s=20, window=2)
        assert [j.id for j in due] == [stat, *routine[:2]]
        for job in due:
            tx.now = later(9)
            jobs.mark_sent(tx, job.id, queue="analysis.cpu")
        tx.now = later(10)
        assert jobs.due(tx, resend_after_s=20, window=2) == []


def test_only_one_worker_gets_a_job(any_database):
    job_id = queued_job(any_database)
    assert claimed_job(any_database, job_id) is not None
    assert claimed_job(any_database, job_id) is None
    assert claimed_job(any_database, "no such job") is None


def test_a_silent_workers_job_goes_back_and_its_late_results_are_refused(any_database):
    job_id = queued_job(any_database)
    lost = claimed_job(any_database, job_id, lease_s=60)
    with any_database.write() as tx:
        tx.now = later(59)
        assert reclaim(tx, maximum_attempts=3) == []
        tx.now = later(59)
        jobs.heartbeat(tx, lost, lease_s=60)
        tx.now = later(61)
        assert reclaim(tx, maximum_attempts=3) == []
        tx.now = later(120)
        assert reclaim(tx, maximum_attempts=3) == [job_id]
    with pytest.raises(StaleClaim):
        publish(any_database, lost)
    second = claimed_job(any_database, job_id, now=later(121))
    with pytest.raises(StaleClaim):
        publish(any_database, lost)
    publish(any_database, second)
    assert state_of(any_database, job_id) is JobState.DELIVERING


def test_a_job_that_always_fails_is_answered_and_then_given_up(any_database):
    job_id = queued_job(any_database)
    report_only = []
    for attempt in range(1, 7):
        claimed = claimed_job(any_database, job_id, now=later(1000 * attempt))
        report_only.append(claimed.report_only)
        with any_database.write() as tx:
            tx.now = later(1000 * attempt)
            jobs.retry_or_answer(tx, claimed, error="E", maximum_attempts=3, delay_s=1)
    assert report_only == [None] * 3 + [Reason.ANALYSIS_FAILED] * 3
    assert state_of(any_database, job_id) is JobState.FAILED
    with any_database.write() as tx:
        tx.now = NOW
        assert jobs.requeue(tx) == [job_id]
    assert claimed_job(any_database, job_id).report_only is None


def test_without_destinations_a_job_is_done_when_analysed(any_database):
    job_id = queued_job(any_database)
    publish(any_database, claimed_job(any_database, job_id), profiles={})
    assert state_of(any_database, job_id) is JobState.DONE


def test_a_rerun_is_a_new_revision_that_knows_its_predecessor(any_database):
    job_id = queued_job(any_database)
    publish(any_database, claimed_job(any_database, job_id))
    with any_database.write() as tx:
        tx.now = later(50)
        assert studies.reopen(tx, "1.2.1") == 2
        (study,) = studies.open_studies(tx)
        assert study.outcomes == ()
        assert [p.sop_instance_uid for p in jobs.predecessors(tx, study_id=study.id, revision=2)] == ["2.25.1"]
        tx.now = NOW
        assert studies.reopen(tx, "9.9") is None


def test_the_predecessors_are_the_latest_of_each_series_also_of_one_that_was_not_gone_on_with(any_database):
    first = (
        replace(RESULT, sop_instance_uid="2.25.1", series_instance_uid="2.25.10"),
        replace(RESULT, sop_instance_uid="2.25.2", series_instance_uid="2.25.20"),
    )
    later_one = replace(RESULT, sop_instance_uid="2.25.3", series_instance_uid="2.25.20")
    publish(any_database, claimed_job(any_database, queued_job(any_database)), results=first)
    with any_database.write() as tx:
        tx.now = NOW
        studies.reopen(tx, "1.2.1")
        (study,) = studies.open_studies(tx)
        tx.now = NOW
        job_id = studies.complete(tx, study.id, reason="rerun", decision=DECISION)
    publish(any_database, claimed_job(any_database, job_id), results=(later_one,))
    with any_database.read() as tx:
        found = jobs.predecessors(tx, study_id=study.id, revision=3)
        assert [p.sop_instance_uid for p in found] == ["2.25.1", "2.25.3"]
        assert [p.sop_instance_uid for p in jobs.predecessors(tx, study_id=study.id, revision=2)] == [
            "2.25.1",
            "2.25.2",
        ]
        assert jobs.predecessors(tx, study_id=study.id, revision=1) == ()


def test_a_job_that_is_published_is_held_by_no_worker(any_database):
    job_id = queued_job(any_database)
    publish(any_database, claimed_job(any_database, job_id))
    with any_database.read() as tx:
        job = tx.get_one(JobRow, job_id)
        assert (job.lease_owner, job.lease_token, job.lease_until) == (None, None, None)


# Deliveries


@pytest.fixture
def delivering(any_database):
    job_id = queued_job(any_database)
    publish(any_database, claimed_job(any_database, job_id))
    return any_database, job_id


def claim_deliveries(database, job_id, now=NOW):
    with at(database, now).write() as tx:
        return [
            claimed
            for destination in deliveries.waiting_destinations(tx, job_id)
            for claimed in deliveries.claim(tx, job_id, destination, lease_s=30, threshold=3, associations=2)
        ]


def due(tx, job_id, *, seconds):
    """Whether a delivery message for the job is to be sent at this moment."""
    tx.now = later(seconds)
    found = deliveries.due(tx, associations={}, resend_after_s=20)
    return job_id in [one.job_id for one in found]


def settle(database, job_id, claimed, dispositions, *, now=NOW, retry_s=10.0):
    with at(database, now).write() as tx:
        return deliveries.settle(
            tx,
            job_id,
            [
                Settlement(c.id, c.token, d, 0xA700 if d is Disposition.RETRY else 0, "", later(retry_s))
                for c, d in zip(claimed, dispositions, strict=True)
            ],
        )


def test_a_job_is_done_only_when_every_destination_has_accepted(delivering):
    database, job_id = delivering
    claimed = claim_deliveries(database, job_id)
    assert [c.destination for c in claimed] == ["pacs", "vna"]
    assert settle(database, job_id, claimed, [Disposition.ACCEPTED, Disposition.RETRY]) is JobState.DELIVERING
    assert claim_deliveries(database, job_id, now=later(5)) == []
    again = claim_deliveries(database, job_id, now=later(10))
    assert [(c.destination, c.attempts) for c in again] == [("vna", 2)]
    assert settle(database, job_id, again, [Disposition.ACCEPTED]) is JobState.DONE


def test_a_refused_result_is_a_dead_letter_that_rerun_brings_back(delivering):
    database, job_id = delivering
    claimed = claim_deliveries(database, job_id)
    assert settle(database, job_id, claimed, [Disposition.ACCEPTED, Disposition.REFUSED]) is JobState.UNDELIVERED
    with database.write() as tx:
        tx.now = later(60)
        assert deliveries.requeue(tx, retry_for_s=100) == 1
    assert state_of(database, job_id) is JobState.DELIVERING
    again = claim_deliveries(database, job_id, now=later(61))
    assert [c.destination for c in again] == ["vna"]
    assert settle(database, job_id, again, [Disposition.ACCEPTED]) is JobState.DONE


def test_retries_end_when_their_time_is_over(delivering):
    database, job_id = delivering
    claimed = claim_deliveries(database, job_id)
    assert settle(database, job_id, claimed, [Disposition.RETRY] * 2, retry_s=101) is JobState.UNDELIVERED


def test_deliveries_are_dead_letters_when_their_time_is_over_and_their_destination_fails(delivering):
    database, job_id = delivering
    with database.write() as tx:
        tx.now = later(101)
        assert deliveries.reclaim(tx) == 0
        deliveries.note_failure(tx, "vna", threshold=1, open_s=30)
        deliveries.note_failure(tx, "pacs", threshold=2, open_s=30)
    with database.read() as tx:
        found = {line.destination: line.state for line in report.result_lines(tx, job_id)}
    assert found == {"vna": DeliveryState.DEAD, "pacs": DeliveryState.PENDING}


def test_the_first_success_makes_all_that_waits_due_at_once(delivering):
    database, job_id = delivering
    claimed = claim_deliveries(database, job_id)
    settle(database, job_id, claimed, [Disposition.RETRY] * 2, retry_s=60)
    with database.write() as tx:
        tx.now = NOW
        deliveries.note_failure(tx, "vna", threshold=3, open_s=30)
        assert not due(tx, job_id, seconds=5)
        assert deliveries.note_success(tx, "vna") == 1
        assert deliveries.note_success(tx, "pacs") == 0
        assert due(tx, job_id, seconds=5)
        assert deliveries.waiting_destinations(tx, job_id) == ["vna"]


def test_no_destination_has_more_associations_than_it_may(any_database):
    ids = [queued_job(any_database, number) for number in (1, 2, 3)]
    for number, job_id in enumerate(ids):
        result = replace(RESULT, sop_instance_uid=f"2.25.{number}")
        claimed = claimed_job(any_database, job_id, now=later(5))
        publish(any_database, claimed, profiles={"vna": "ohif"}, results=[result])
    assert [len(claim_deliveries(any_database, job_id)) for job_id in ids] == [1, 1, 0]
    with any_database.read() as tx:
        tx.now = NOW
        found = deliveries.due(tx, associations={"vna": 2}, resend_after_s=20)
        assert [one.job_id for one in found] == [ids[2]]


def test_a_routine_job_waits_for_a_stat_job_of_its_destination(any_database):
    ids = {}
    for number, priority in ((1, "routine"), (2, "STAT")):
        decision = studies.RoutingDecision("r", "chest", priority, None, [])
        ids[priority] = queued_job(any_database, number, decision=decision)
        result = replace(RESULT, sop_instance_uid=f"2.25.{number}")
        publish(any_database, claimed_job(any_database, ids[priority]), profiles={"vna": "ohif"}, results=[result])
    assert claim_deliveries(any_database, ids["routine"]) == []
    urgent = claim_deliveries(any_database, ids["STAT"])
    assert len(urgent) == 1
    assert len(claim_deliveries(any_database, ids["routine"])) == 1


def test_an_attempt_for_which_there_was_no_room_counts_for_nothing(delivering):
    database, job_id = delivering
    (pacs, vna) = claim_deliveries(database, job_id)
    with database.write() as tx:
        tx.now = NOW
        busy = Settlement(pacs.id, pacs.token, Disposition.RETRY, None, "no room", later(1), counts=False)
        deliveries.settle(tx, job_id, [busy])
    with database.read() as tx:
        states = {line.destination: (line.state, line.attempts) for line in report.result_lines(tx, job_id)}
    assert states[pacs.destination] == (DeliveryState.PENDING, 0)
    assert states[vna.destination] == (DeliveryState.SENDING, 1)


def test_a_silent_senders_deliveries_go_back_and_its_late_word_counts_for_nothing(delivering):
    database, job_id = delivering
    lost = claim_deliveries(database, job_id)
    with database.write() as tx:
        tx.now = later(31)
        assert deliveries.reclaim(tx) == 2
    assert settle(database, job_id, lost, [Disposition.ACCEPTED] * 2) is JobState.DELIVERING
    with database.read() as tx:
        assert {line.state for line in report.result_lines(tx, job_id)} == {DeliveryState.PENDING}


def test_an_open_circuit_holds_only_its_own_destination(delivering):
    database, job_id = delivering
    with database.write() as tx:
        tx.now = NOW
        opened = [deliveries.note_failure(tx, "vna", threshold=3, open_s=30) for _ in range(3)]
        assert opened == [False, False, True]
        assert due(tx, job_id, seconds=1)
    claimed = claim_deliveries(database, job_id, now=later(1))
    assert [c.destination for c in claimed] == ["pacs"]
    settle(database, job_id, claimed, [Disposition.ACCEPTED])
    with database.write() as tx:
        assert not due(tx, job_id, seconds=2)
        assert due(tx, job_id, seconds=31)
        deliveries.note_success(tx, "vna")
        assert due(tx, job_id, seconds=2)


def test_a_destination_that_failed_is_tried_by_one_worker_at_a_time(any_database):
    first, second = queued_job(any_database, 1), queued_job(any_database, 2)
    for number, job_id in enumerate((first, second)):
        result = replace(RESULT, sop_instance_uid=f"2.25.{number}")
        publish(any_database, claimed_job(any_database, job_id), profiles={"vna": "ohif"}, results=[result])
    with any_database.write() as tx:
        for _ in range(3):
            tx.now = NOW
            deliveries.note_failure(tx, "vna", threshold=3, open_s=30)
    assert claim_deliveries(any_database, first, now=later(10)) == []
    assert len(claim_deliveries(any_database, first, now=later(31))) == 1
    assert claim_deliveries(any_database, second, now=later(31)) == []
    with any_database.write() as tx:
        deliveries.note_success(tx, "vna")
    assert len(claim_deliveries(any_database, second, now=later(31))) == 1


def test_destinations_without_failures_come_first(delivering):
    database, job_id = delivering
    with database.write() as tx:
        tx.now = NOW
        deliveries.note_failure(tx, "pacs", threshold=3, open_s=30)
        tx.now = later(1)
        assert deliveries.waiting_destinations(tx, job_id) == ["vna", "pacs"]


def test_stat_results_are_sent_before_routine_ones(any_database):
    ids = []
    for number, priority in ((1, "routine"), (2, "STAT")):
        decision = studies.RoutingDecision("r", "chest", priority, None, [])
        ids.append(queued_job(any_database, number, decision=decision))
        result = replace(RESULT, sop_instance_uid=f"2.25.{number}")
        publish(any_database, claimed_job(any_database, ids[-1], now=later(5)), results=[result], now=later(number))
    with any_database.read() as tx:
        tx.now = later(9)
        found = deliveries.due(tx, associations={}, resend_after_s=20)
    assert [one.job_id for one in found] == [ids[1], ids[1], ids[0], ids[0]], "to each destination"


def test_a_slow_delivery_keeps_its_lease(delivering):
    database, job_id = delivering
    claimed = claim_deliveries(database, job_id)
    with database.write() as tx:
        tx.now = later(29)
        deliveries.heartbeat(tx, claimed, lease_s=30)
        tx.now = later(31)
        assert deliveries.reclaim(tx) == 0


def test_a_repeated_message_does_not_skip_the_pause_after_a_failure(any_database):
    job_id = queued_job(any_database)
    claimed = claimed_job(any_database, job_id)
    with any_database.write() as tx:
        tx.now = NOW
        jobs.retry_or_answer(tx, claimed, error="E", maximum_attempts=3, delay_s=60)
    assert claimed_job(any_database, job_id, now=later(30)) is None
    assert claimed_job(any_database, job_id, now=later(60)) is not None


def test_a_known_uid_in_another_study_is_quarantined_and_that_study_is_answered(any_database):
    with any_database.write() as tx:
        arrive(tx, 1)
        assert arrive(tx, 2, sop="1.2.3.1", study="9.9") is InstanceState.QUARANTINED
        other = studies.open_studies(tx)[1]
        (instance,) = studies.instances_of(tx, other.id, revision=1)
        assert instance.reason is Reason.UID_CONFLICT


def test_a_delivery_message_is_not_repeated_while_it_is_fresh(delivering):
    database, job_id = delivering
    with database.write() as tx:
        tx.now = later(1)
        for destination in ("pacs", "vna"):
            deliveries.mark_sent(tx, job_id, destination)
        assert not due(tx, job_id, seconds=2)
        assert due(tx, job_id, seconds=22)


def test_every_step_is_in_an_intact_trail(delivering):
    database, job_id = delivering
    settle(database, job_id, claim_deliveries(database, job_id), [Disposition.ACCEPTED] * 2)
    with database.read() as tx:
        actions = [event.action for event in audit.events(tx)]
        assert audit.verify(tx).problem is None
    assert actions == [
        "association.released",
        "study.opened",
        "instance.accepted",
        "study.completed",
        "job.created",
        "job.started",
        "job.analysed",
        "delivery.accepted",
        "delivery.accepted",
        "job.done",
    ]
