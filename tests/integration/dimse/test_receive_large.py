"""Large objects, and our own results coming back."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from node.delivery.profiles import OHIF
from node.dicom.header import read_header
from node.intake.eligibility import Eligibility, judge
from node.reasons import Reason
from node.settings import Settings
from node.spool.store import Spool
from tests.support.peers import servers, wire
from tests.support.waiting import wait_for
from workers.pipelines.chest.pipeline import PIPELINE as CHEST_PIPELINE

MEGABYTE = 1 << 20


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", receiver={"port": 0, "processes": 1}, spool={"minimum_free_bytes": 0})


def test_memory_stays_flat(settings: Settings) -> None:
    """Four objects of 48 MB at once, in a process of its own."""
    size, at_once = 48 * MEGABYTE, 4
    with servers.hilum(settings, single=False) as port:
        (child,) = servers.receiver_processes()
        peak = before = child.memory_info().rss
        fragment = wire.p_data(bytes(MEGABYTE - 12), last=False)
        statuses: list[int] = []

        def send() -> None:
            with wire.connect(port) as peer:
                peer.associate()
                peer.send(wire.p_data(wire.command_set(), command=True))
                for _ in range(size // MEGABYTE):
                    peer.send(fragment)
                peer.send(wire.p_data(b"end"))
                statuses.append(peer.status())
                peer.release()

        threads = [threading.Thread(target=send) for _ in range(at_once)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            peak = max(peak, child.memory_info().rss)
            threads[0].join(0.02)
        for thread in threads:
            thread.join()
    assert statuses == [0x0000] * at_once
    assert peak - before < 16 * MEGABYTE


def test_our_own_results_are_taken_and_ignored(settings: Settings, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    from tests.support.data import sources
    from tests.support.results import result_requests
    from workers.results.encode import encode

    source = sources.source(tmp_path)
    results = encode(result_requests.request((source,), (result_requests.image(sources.uid()),)), profile=OHIF)
    paths = []
    for number, result in enumerate(results):
        paths.append(tmp_path / f"result-{number}.dcm")
        paths[-1].write_bytes(result.content)
    assert len(paths) >= 2
    with servers.hilum(settings) as port:
        servers.storescu(port, paths)
    spool = Spool(settings.home / "spool")
    (folder,) = wait_for(lambda: [f for f in spool.incoming.arrivals() if f.outcome], what="arrival")
    for file in folder.files:
        verdict = judge(read_header(file), CHEST_PIPELINE)
        assert (verdict.eligibility, verdict.reason) == (Eligibility.IGNORE, Reason.OWN_RESULT)
