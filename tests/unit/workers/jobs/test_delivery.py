"""Delivery: waits between attempts, and what each answer of a destination leads to."""

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from node.db import deliveries, report
from node.db.states import DeliveryState, JobState
from node.dispatch.backoff import backoff
from node.settings import DeliverySettings, Settings
from node.spool.store import Spool
from tests.support.peers.pacs import SR, FakePACS
from tests.support.rows import lines, published
from tests.support.stand_ins import Clock, NoBroker
from tests.support.waiting import wait_for
from workers.jobs.delivery import deliver_job
from workers.jobs.runtime import Runtime
from workers.pipelines.networks import Networks

SETTINGS = DeliverySettings(first_delay_s=5, maximum_delay_s=1800, jitter=0.2)


@given(attempts=st.integers(1, 200), seed=st.integers())
def test_waits_double_stay_within_the_cap_and_differ(attempts, seed):
    delay = backoff(SETTINGS, attempts, random.Random(seed)).total_seconds()
    base = min(5 * 2 ** min(attempts - 1, 30), 1800)
    assert 0.8 * base - 1e-6 <= delay <= 1.2 * base + 1e-6


@pytest.fixture
def runtime(tmp_path, database):
    database.clock = Clock()
    with FakePACS() as pacs:
        settings = Settings(
            home=tmp_path,
            destinations={"pacs": pacs.destination, "vna": pacs.destination},
            delivery={"connect_timeout_s": 2, "response_timeout_s": 5, "breaker_failures": 2},
        )
        made = Runtime(
            settings=settings,
            database=database,
            spool=Spool.create(tmp_path / "spool"),
            sender=NoBroker(),
            networks=Networks(settings.analysis, "cpu"),
        )
        made.pacs = pacs
        yield made


def test_all_results_of_a_job_go_over_one_association(runtime):
    job_id = published(runtime, results=3)
    assert deliver_job(runtime, job_id) == 3
    assert runtime.pacs.associations == 1
    assert lines(runtime, job_id)[1] is JobState.DONE
    assert deliver_job(runtime, job_id) == 0


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (0xB000, DeliveryState.ACCEPTED),
        (0xA700, DeliveryState.PENDING),
        (0xA900, DeliveryState.DEAD),
        (0xC001, DeliveryState.PENDING),
        (0x0122, DeliveryState.PENDING),
        (0x0111, DeliveryState.ACCEPTED),
        (0x0110, DeliveryState.PENDING),
    ],
)
def test_each_status_leads_where_it_must(runtime, status, state):
    job_id = published(runtime)
    runtime.pacs.statuses[SR] = status
    deliver_job(runtime, job_id)
    (line,), _ = lines(runtime, job_id)
    assert line.state is state


def test_an_unreachable_destination_opens_its_circuit_and_is_tried_later(runtime):
    job_id = published(runtime)
    runtime.pacs.stop()
    for attempt in (1, 2):
        assert deliver_job(runtime, job_id) == 1
        (line,), _ = lines(runtime, job_id)
        assert (line.state, line.attempts) == (DeliveryState.PENDING, attempt)
        runtime.database.clock.now += timedelta(seconds=15)
    with runtime.database.read() as tx:
        assert deliveries.due(tx, associations={}, resend_after_s=20) == []
    runtime.pacs.start()
    runtime.database.clock.now += timedelta(seconds=31)
    assert deliver_job(runtime, job_id) == 1
    assert lines(runtime, job_id)[1] is JobState.DONE


def test_a_destination_without_room_is_tried_again_soon_and_nothing_is_counted(runtime):
    job_id = published(runtime)
    runtime.pacs.narrow(1)
    taken = AE()
    taken.add_requested_context(Verification)
    association = taken.associate("127.0.0.1", runtime.pacs.port, ae_title=runtime.pacs.ae_title)
    try:
        assert association.is_established
        assert deliver_job(runtime, job_id) == 1
    finally:
        association.release()
    (line,), _ = lines(runtime, job_id)
    assert (line.state, line.attempts) == (DeliveryState.PENDING, 0)
    with runtime.database.read() as tx:
        assert report.status(tx).circuits_open == ()
    runtime.database.clock.now += timedelta(seconds=2)
    wait_for(lambda: deliver_job(runtime, job_id) and lines(runtime, job_id)[1] is JobState.DONE)


def test_damaged_bytes_are_never_sent(runtime):
    job_id = published(runtime)
    (line,), _ = lines(runtime, job_id)
    stored = runtime.spool.result_path(line.sha256)
    data = bytearray(stored.read_bytes())
    data[-1] ^= 1
    stored.write_bytes(data)
    deliver_job(runtime, job_id)
    (line,), state = lines(runtime, job_id)
    assert (line.state, state) == (DeliveryState.DEAD, JobState.UNDELIVERED)
    assert "SHA-256" in line.last_error
    assert runtime.pacs.received == []


def test_a_destination_whose_certificate_is_gone_does_not_hold_up_the_others(runtime, tmp_path):
    job_id = published(runtime, profiles={"abad": "ohif", "pacs": "ohif"})
    lost = {"certificate": tmp_path / "no.pem", "key": tmp_path / "no.key", "ca": tmp_path / "no.ca"}
    bad = Settings(destinations={"abad": runtime.pacs.destination | {"tls": lost}}).destinations["abad"]
    runtime.settings.destinations["abad"] = bad
    deliver_job(runtime, job_id)
    found = {line.destination: line for line in lines(runtime, job_id)[0]}
    assert found["pacs"].state is DeliveryState.ACCEPTED
    assert found["abad"].state is DeliveryState.PENDING
    assert found["abad"].last_error


def test_a_destination_that_cannot_be_asked_for_commitment_does_not_hold_up_the_others(runtime):
    job_id = published(runtime, profiles={"archive": "ohif", "pacs": "ohif"})
    pacs = runtime.settings.destinations["pacs"]
    impossible = pacs.commitment.model_copy(update={"ask": True, "networks": None})  # what no setting can be
    runtime.settings.destinations["archive"] = pacs.model_copy(update={"commitment": impossible})
    assert deliver_job(runtime, job_id) == 2
    found = {line.destination: line.state for line in lines(runtime, job_id)[0]}
    assert found == {"archive": DeliveryState.STORED, "pacs": DeliveryState.ACCEPTED}
    runtime.database.clock.now += timedelta(seconds=60)
    with runtime.database.read() as tx:
        assert [one.job_id for one in deliveries.due(tx, associations={}, resend_after_s=20)]


def test_a_destination_that_never_answers_opens_its_circuit(runtime):
    import socket
    import threading

    job_id = published(runtime)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        threading.Thread(target=lambda: [mute.accept() for _ in range(2)], daemon=True).start()
        runtime.settings.destinations["pacs"] = runtime.settings.destinations["pacs"].model_copy(
            update={"port": mute.getsockname()[1]}
        )
        for _ in range(2):
            assert deliver_job(runtime, job_id) == 1
            runtime.database.clock.now += timedelta(seconds=15)
    with runtime.database.read() as tx:
        (circuit,) = report.status(tx).circuits_open
    assert circuit[:2] == ("pacs", 2)
