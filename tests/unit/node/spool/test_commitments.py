"""Transactions of storage commitment on disk: durable, in order, and unharmed by what cannot be read or written."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.dicom.status import Status
from node.dimse.reports import take_report
from node.errors import SpoolFull
from node.spool.commitments import CommitmentReport, CommitmentStore, CommitmentTransaction, FailedReference, Reference
from node.spool.store import Spool
from tests.support.peers.event_reports import encoded, information
from tests.support.peers.wire import EXPLICIT

REPORTS = [
    CommitmentReport(f"2.25.{number}", (Reference("1.2", "1.3"),), (FailedReference("1.2", "1.4", reason),))
    for number, reason in enumerate((0x0112, None, 0x0110))
]


@pytest.fixture
def store(tmp_path: Path) -> CommitmentStore:
    return Spool.create(tmp_path).commitments


def test_reports_come_out_as_they_were_put_in_and_in_order(store: CommitmentStore):
    for report in REPORTS:
        store.add_report(report)
    assert [store.report(path) for path in store.reports()] == REPORTS
    for path in store.reports():
        store.discard(path)
        store.discard(path)
    assert store.reports() == []


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"transaction_uid": "1", "committed": [1], "failed": []}']
)
def test_a_damaged_report_hides_no_other(store: CommitmentStore, content: bytes):
    store.add_report(REPORTS[0])
    (path,) = (path for path in store.reports())
    (path.parent / "00000000000000000000-x.json").write_bytes(content)
    store.add_report(REPORTS[1])
    assert [store.report(path) for path in store.reports()] == [None, *REPORTS[:2]]


@pytest.mark.parametrize(
    "content", [b"", b"null", b'{"transaction_uid": "2.25.5", "ae_title": "A", "networks": ["x"]}']
)
def test_a_damaged_transaction_lets_nobody_in(store: CommitmentStore, content: bytes):
    store.record(CommitmentTransaction("2.25.5", "PACS", ("192.0.2.0/24",)))
    assert store.find("2.25.5") == CommitmentTransaction("2.25.5", "PACS", ("192.0.2.0/24",))
    assert store.find("2.25.6") is None
    for path in store._transactions.iterdir():
        path.write_bytes(content)
    assert store.find("2.25.5") is None


def test_a_report_that_cannot_be_written_is_not_answered_with_success(tmp_path: Path):
    spool = Spool.create(tmp_path)
    spool.commitments.record(CommitmentTransaction("2.25.5", "PACS", ()))
    lost = CommitmentStore(tmp_path / "commitment", lambda: tmp_path / "no such folder" / "x.part")
    status, _ = take_report(
        lost, encoded(information()), event_type=1, transfer_syntax=EXPLICIT, is_authorised=lambda _: True
    )
    assert status is Status.RESOURCE_LIMITATION
    with pytest.raises(SpoolFull):
        lost.record(CommitmentTransaction("2.25.6", "PACS", ()))
    assert spool.commitments.reports() == []
