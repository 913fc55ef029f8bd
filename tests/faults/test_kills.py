"""kill -9 of every process at random moments while studies go through: each has exactly one SEG and one SR."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from node.db import audit
from tests.support.peers.pacs import SEG, SR, FakePACS
from tests.support.peers.system import dataset_bytes, phantom_file, running_node, study_uid

VICTIMS = [
    ("receive", False),
    ("receive", True),
    ("dispatch", False),
    ("work-analysis", False),
    ("work-analysis", True),
    ("work-delivery", False),
]
STUDIES, SHORT_STUDIES = 50, 12


@pytest.mark.timeout(900)
def test_kill_9_at_random_moments_loses_and_doubles_nothing(tmp_path: Path, whole: bool):
    """Sources are sent until they are taken, as a router does; a random process dies every few seconds meanwhile."""
    number = STUDIES if whole else SHORT_STUDIES
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"\nseed of the moments: {seed}")  # what it takes to look at a failure again
    generator = random.Random(seed)
    files = [phantom_file(tmp_path, n) for n in range(number)]
    with FakePACS() as pacs, running_node(tmp_path / "node", destinations={"pacs": pacs.destination}) as node:
        over, each_once = threading.Event(), threading.Event()
        killed: list[str] = []

        def kill_now_and_then() -> None:
            # Each victim once, then at random until all studies are answered.
            order = VICTIMS.copy()
            generator.shuffle(order)
            while not over.wait(generator.uniform(0.5, 4.0)):
                name, grandchild = order.pop() if order else generator.choice(VICTIMS)
                node.kill(name, grandchild=grandchild)
                killed.append(f"{name}{' child' if grandchild else ''}")
                if not order:
                    each_once.set()
                if len(killed) >= (40 if whole else 10):
                    return

        def send(number: int) -> None:
            # The second half waits until every process has died once, so that each dies while there is work.
            if number >= len(files) // 2:
                each_once.wait(120)
            node.send_until_taken([files[number]])

        killer = threading.Thread(target=kill_now_and_then)
        killer.start()
        try:
            with ThreadPoolExecutor(4) as senders:
                list(senders.map(send, range(len(files))))
            lines = [node.wait_until_ended(study_uid(path), timeout_s=600) for path in files]
        finally:
            over.set()
            killer.join()
        print(f"killed: {killed}")
        assert len(set(killed)) == len(VICTIMS)
        for path, line in zip(files, lines, strict=True):
            uid = study_uid(path)
            assert line.job_state == "done", node.log_text()[-5000:]
            assert line.revision == 1, "a resent image is no new revision"
            stored = {result.sop_instance_uid: dataset_bytes(result.path) for result in node.results(line)}
            arrived = pacs.of_study(uid)
            assert len(pacs.distinct(uid, SEG)) == 1
            assert len(pacs.distinct(uid, SR)) == 1
            for received in (*arrived[SEG], *arrived[SR]):
                assert received.dataset == stored[received.sop_instance_uid]
        with node.database.read() as tx:
            assert audit.verify(tx).problem is None
