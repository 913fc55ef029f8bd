"""A worker that stood still longer than its lease sends nothing more: somebody else has the work."""

from __future__ import annotations

from pathlib import Path

from node.delivery.destinations import Destination, WebDestination
from node.delivery.outcome import OutgoingFile
from node.dicom.status import Disposition
from node.dicomweb import stow
from node.dimse.scu import storage
from tests.support.data.radiographs import radiograph, write
from tests.support.peers.dicomweb import service
from tests.support.peers.pacs import SR, FakePACS
from workers.jobs.heartbeat import Lease


def test_a_lease_holds_until_its_time_without_a_sign_is_over():
    lease = Lease(lease_s=1000)
    assert lease.holds
    lease.confirm(at=lease._confirmed_at - 1000.5)
    assert not lease.holds
    lease.confirm(at=lease._confirmed_at + 1000)
    assert lease.holds
    lease.lose()
    assert not lease.holds


def files(folder: Path) -> list[OutgoingFile]:
    made = [radiograph(sop_class=SR, PixelData=None) for _ in range(3)]
    return [
        OutgoingFile(str(ds.SOPClassUID), str(ds.SOPInstanceUID), write(folder / f"{number}.dcm", ds))
        for number, ds in enumerate(made)
    ]


def test_by_dimse_the_rest_of_the_batch_is_not_sent(tmp_path: Path):
    answers = iter([True, False, False])
    with FakePACS() as pacs:
        outcomes = storage.send(
            Destination(**pacs.destination),
            files(tmp_path),
            calling_ae_title="HILUM",
            connect_timeout_s=5,
            response_timeout_s=5,
            go_on=lambda: next(answers),
        )
        assert len(pacs.received) == 1
    dispositions = [outcome.disposition for outcome in outcomes]
    assert dispositions == [Disposition.ACCEPTED, Disposition.RETRY, Disposition.RETRY]
    assert all(outcome.answered for outcome in outcomes), "the archive is not to blame"


def test_by_stow_the_rest_of_the_batch_is_not_sent(tmp_path: Path):
    answers = iter([True, False, False])
    with service() as web:
        outcomes = stow.store(
            WebDestination(url=web.url),
            files(tmp_path),
            connect_timeout_s=5,
            response_timeout_s=5,
            go_on=lambda: next(answers),
        )
        assert len(web.received) == 1
    assert [outcome.disposition for outcome in outcomes][1:] == [Disposition.RETRY] * 2
