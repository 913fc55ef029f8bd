"""Storage commitment over TLS, certificates on both sides (PS3.15 section B.12), whichever way the report comes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from node.db.states import DeliveryState, JobState
from node.delivery.destinations import TLSFiles
from tests.support.peers import certificates
from tests.support.peers.commitment import Setup, joined, no_wait, restart
from tests.support.peers.pacs import SR
from tests.support.rows import published
from tests.support.waiting import wait_for
from workers.jobs.delivery import deliver_job

# pynetdicom does not close a socket whose TLS handshake has failed; the garbage collector does.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture
def authority(tmp_path: Path) -> certificates.Authority:
    return certificates.authority(tmp_path / "pki")


@pytest.fixture
def setup(tmp_path: Path, authority: certificates.Authority) -> Iterator[Setup]:
    with joined(tmp_path, authority) as made:
        yield made


@pytest.mark.parametrize("way", ["same association", "own association"])
@pytest.mark.parametrize("in_parts", [False, True])
def test_a_report_over_tls_commits_whichever_way_it_comes(setup: Setup, way: str, in_parts: bool) -> None:
    restart(setup, way)
    no_wait(setup) if way == "own association" else None
    setup.pacs.instances_per_report = 1 if in_parts else None
    job_id = published(setup.runtime, results=2)
    deliver_job(setup.runtime, job_id)
    assert wait_for(lambda: len(setup.pacs.report_statuses) == 1 + in_parts, what="the answers to the report")
    setup.record()
    assert setup.lines(job_id) == ([DeliveryState.ACCEPTED] * 2, JobState.DONE)
    assert setup.pacs.report_statuses == [0x0000] * (1 + in_parts)
    (request,) = setup.pacs.requests
    assert request.instances == ((SR, "2.25.1"), (SR, "2.25.2"))


def test_an_archive_without_the_right_certificate_cannot_report(setup: Setup, tmp_path: Path) -> None:
    no_wait(setup)
    job_id = published(setup.runtime)
    deliver_job(setup.runtime, job_id)
    (request,) = setup.pacs.requests
    right, foreign = setup.pacs.tls, certificates.authority(tmp_path / "foreign").issue("pacs")
    for wrong in (TLSFiles(), TLSFiles(certificate=foreign.certificate, key=foreign.key, ca=right.ca)):
        setup.pacs.tls = wrong
        assert setup.pacs.report(request) is None, "no association"
    assert setup.record() == 0
    assert setup.lines(job_id)[0] == [DeliveryState.STORED]
    setup.pacs.tls = right
    assert setup.pacs.report(request) == 0x0000
    assert setup.record() == 1
    assert setup.lines(job_id) == ([DeliveryState.ACCEPTED], JobState.DONE)


def test_the_receivers_log_names_who_was_refused_over_tls(setup: Setup) -> None:
    no_wait(setup)
    job_id = published(setup.runtime)
    deliver_job(setup.runtime, job_id)
    with capture_logs() as logs:
        assert setup.pacs.report(setup.pacs.requests[0], calling_ae_title="SOMEBODY") == 0x0115
    (refused,) = [entry for entry in logs if entry["event"] == "commitment.report_refused"]
    assert (refused["calling_ae_title"], refused["why"]) == ("SOMEBODY", "Transaction UID of another peer")
