"""Requests for storage commitment as rows, on SQLite and PostgreSQL."""

from dataclasses import replace

from node.db import audit, commitments, deliveries, report
from node.db.commitments import InstanceOutcome
from node.db.deliveries import Settlement
from node.db.states import DeliveryState, JobState
from node.dicom.status import Disposition
from tests.support.rows import RESULT, claimed_job, publish, queued_job, state_of
from tests.support.stand_ins import NOW, at, later

COMMITTED = InstanceOutcome(RESULT.sop_class_uid, Disposition.ACCEPTED, None, "")
LOST = InstanceOutcome(RESULT.sop_class_uid, Disposition.RETRY, 0x0112, "0x0112 not there")
NEVER = replace(LOST, disposition=Disposition.REFUSED, status=0x0122)


def stored_job(database, *, destinations=("pacs",)) -> str:
    """A job whose results every destination has taken."""
    job_id = queued_job(database)
    second = replace(RESULT, sop_instance_uid="2.25.3")
    profiles = dict.fromkeys(destinations, "ohif")
    publish(database, claimed_job(database, job_id), profiles=profiles, results=(RESULT, second))
    for destination in destinations:
        with at(database, NOW).write() as tx:
            batch = deliveries.claim(tx, job_id, destination, lease_s=60, threshold=3, associations=2)
        settlements = [Settlement(d.id, d.token, Disposition.ACCEPTED, 0, "", ask_commitment=True) for d in batch]
        with at(database, NOW).write() as tx:
            deliveries.settle(tx, job_id, settlements)
    return job_id


def ask(database, job_id, *, destination="pacs", seconds=0.0, maximum=2):
    with at(database, later(seconds)).write() as tx:
        return commitments.request(tx, job_id, destination, maximum_requests=maximum, patience_s=50)


def record(database, request, outcomes, *, seconds=10.0):
    with at(database, later(seconds)).write() as tx:
        return commitments.record(
            tx, request.transaction_uid, outcomes, retry_at=lambda _id, _attempts: later(seconds + 5)
        )


def states(database, job_id):
    with database.read() as tx:
        return [line.state for line in report.result_lines(tx, job_id)]


def test_a_job_is_done_when_the_last_destination_has_committed(any_database):
    job_id = stored_job(any_database, destinations=("pacs", "vna"))
    requests = {name: ask(any_database, job_id, destination=name) for name in ("pacs", "vna")}
    assert ask(any_database, job_id) is None, "it was just asked"
    both = {"2.25.1": COMMITTED, "2.25.3": COMMITTED}
    assert record(any_database, requests["pacs"], both).committed == 2
    assert state_of(any_database, job_id) is JobState.DELIVERING
    assert record(any_database, requests["pacs"], both).repeated
    assert record(any_database, requests["vna"], both).committed == 2
    assert state_of(any_database, job_id) is JobState.DONE
    with any_database.read() as tx:
        assert audit.verify(tx).problem is None


def test_each_outcome_leads_where_it_must(any_database):
    job_id = stored_job(any_database)
    request = ask(any_database, job_id)
    recorded = record(any_database, request, {"2.25.1": LOST, "2.25.3": NEVER, "2.25.99": COMMITTED})
    assert (recorded.committed, recorded.failed, recorded.passed_over) == (0, 2, 1)
    assert states(any_database, job_id) == [DeliveryState.PENDING, DeliveryState.DEAD]
    with any_database.read() as tx:
        tx.now = later(11)
        assert deliveries.due(tx, associations={}, resend_after_s=20) == []
        tx.now = later(16)
        assert [one.job_id for one in deliveries.due(tx, associations={}, resend_after_s=20)] == [job_id]


def test_a_report_of_an_unknown_transaction_changes_nothing(any_database):
    job_id = stored_job(any_database)
    request = replace(ask(any_database, job_id), transaction_uid="2.25.7")
    assert record(any_database, request, {"2.25.1": COMMITTED}).job_id is None
    assert states(any_database, job_id) == [DeliveryState.STORED] * 2


def taken(database, request, *, seconds):
    with database.write() as tx:
        commitments.expect(tx, request.transaction_uid, until=later(seconds))


def test_a_request_that_was_never_made_is_made_again_soon_and_one_that_was_taken_later(any_database):
    job_id = stored_job(any_database)
    ask(any_database, job_id)
    assert ask(any_database, job_id, seconds=49) is None
    taken(any_database, ask(any_database, job_id, seconds=51), seconds=80)
    assert ask(any_database, job_id, seconds=79) is None
    taken(any_database, ask(any_database, job_id, seconds=81), seconds=90)
    assert ask(any_database, job_id, seconds=91) is None, "both requests are used up"
    assert states(any_database, job_id) == [DeliveryState.PENDING] * 2


def test_requests_that_the_archive_has_not_taken_wait_longer_each_time_and_send_nothing_again(any_database):
    job_id = stored_job(any_database)
    attempts = []
    for seconds in (0, 10, 20, 30):
        request = ask(any_database, job_id, seconds=seconds, maximum=2)
        attempts.append(request.attempts)
        with at(any_database, later(seconds)).write() as tx:
            commitments.defer(
                tx, job_id, request.transaction_uid, status=None, why="away", retry_at=later(seconds + 10)
            )
    assert attempts == [1, 2, 3, 4]
    assert states(any_database, job_id) == [DeliveryState.STORED] * 2
    assert audited(any_database, "commitment.unreported") == []


def test_a_refused_request_is_a_dead_letter_and_rerun_brings_it_back(any_database):
    job_id = stored_job(any_database)
    request = ask(any_database, job_id)
    with at(any_database, later(1)).write() as tx:
        commitments.defer(tx, job_id, request.transaction_uid, status=0x0122, why="no", retry_at=None)
    assert states(any_database, job_id) == [DeliveryState.DEAD] * 2
    assert state_of(any_database, job_id) is JobState.UNDELIVERED
    with any_database.write() as tx:
        tx.now = later(2)
        assert deliveries.requeue(tx, retry_for_s=100) == 2
    assert states(any_database, job_id) == [DeliveryState.PENDING] * 2


def test_what_waits_too_long_for_its_commitment_is_a_dead_letter(any_database):
    job_id = stored_job(any_database)
    taken(any_database, ask(any_database, job_id), seconds=90)
    with any_database.read() as tx:
        (waiting,) = commitments.waiting(tx)
    assert (waiting.destination, waiting.deliveries) == ("pacs", 2)
    assert ask(any_database, job_id, seconds=101) is None
    assert state_of(any_database, job_id) is JobState.UNDELIVERED


def test_nothing_is_asked_while_the_circuit_is_open(any_database):
    job_id = stored_job(any_database)
    with any_database.write() as tx:
        tx.now = NOW
        deliveries.note_failure(tx, "pacs", threshold=1, open_s=30)
    assert ask(any_database, job_id, seconds=29) is None
    assert ask(any_database, job_id, seconds=31) is not None


def audited(database, action):
    with database.read() as tx:
        return [event.detail for event in audit.events(tx) if event.action == action]


def test_a_report_that_names_none_of_ours_closes_nothing_and_is_no_success(any_database):
    job_id = stored_job(any_database)
    request = ask(any_database, job_id)
    others = {"2.25.99": COMMITTED, "2.25.1": replace(COMMITTED, sop_class_uid="1.2.9")}
    assert record(any_database, request, others).committed == 0
    assert audited(any_database, "commitment.succeeded") == []
    assert [detail["outstanding"] for detail in audited(any_database, "commitment.without_effect")] == [2]
    assert record(any_database, request, {"2.25.1": COMMITTED, "2.25.3": COMMITTED}).committed == 2
    assert state_of(any_database, job_id) is JobState.DONE


def test_a_report_may_come_in_parts(any_database):
    job_id = stored_job(any_database)
    request = ask(any_database, job_id)

    def reported() -> bool:
        with any_database.read() as tx:
            return commitments.is_reported(tx, request.transaction_uid)

    assert record(any_database, request, {"2.25.1": COMMITTED}).committed == 1
    assert states(any_database, job_id) == [DeliveryState.ACCEPTED, DeliveryState.STORED]
    assert not reported()
    assert record(any_database, request, {"2.25.3": LOST}).failed == 1
    assert states(any_database, job_id) == [DeliveryState.ACCEPTED, DeliveryState.PENDING]
    assert reported()
    assert record(any_database, request, {"2.25.3": COMMITTED}).repeated


def test_the_audit_names_who_did_not_report_and_on_how_many(any_database):
    job_id = stored_job(any_database)
    first = ask(any_database, job_id, maximum=1)
    taken(any_database, first, seconds=50)
    assert ask(any_database, job_id, seconds=51, maximum=1) is None
    (detail,) = audited(any_database, "commitment.unreported")
    assert detail == {"destination": "pacs", "transaction_uid": first.transaction_uid, "instances": 2}
