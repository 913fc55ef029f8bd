"""What a worker does with messages that are none of the node's, and when it ends by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from celery import Celery, Task
from structlog.testing import capture_logs

from node.dispatch.queue import ANALYSE, DELIVER, Queues
from node.settings import Settings
from tests.support.peers.databases import redis_server
from tests.support.waiting import wait_for
from workers.process import tasks


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Task]:
    app, settings = Celery(set_as_current=False), Settings(home=tmp_path_factory.mktemp("home"))
    tasks.register_analysis(app, settings, Queues("test"), device="cpu")
    tasks.register_delivery(app, settings, Queues("test"))
    return app.tasks


@pytest.mark.parametrize("job_id", [5, None, ["a"], {"b": 1}, 1.5, True])
@pytest.mark.parametrize("name", [ANALYSE, DELIVER])
def test_a_message_without_the_id_of_a_job_is_refused(registered: Mapping[str, Task], name: str, job_id: object):
    with capture_logs() as logs:
        registered[name](job_id)
    assert [line["event"] for line in logs] == ["task.refused"]


@pytest.mark.timeout(180)
def test_a_worker_that_nobody_asked_to_end_ends_with_a_failure(tmp_path: Path):
    with redis_server(tmp_path / "redis") as url:
        environment = {**os.environ, "HILUM_HOME": str(tmp_path), "HILUM_BROKER_URL": url}
        command = [sys.executable, "-m", "workers.cli"]
        subprocess.run([*command, "migrate"], env=environment, check=True, capture_output=True)
        log = (tmp_path / "log").open("wb")
        worker = subprocess.Popen([*command, "work", "--delivery"], env=environment, stdout=log, stderr=log)
        try:
            app = Celery(broker=url, set_as_current=False)
            wait_for(lambda: app.control.ping(timeout=1), timeout_s=90, what="the worker")
            app.control.shutdown()  # as an error of its loop would end it: no signal came
            assert worker.wait(60) == 1
        finally:
            worker.kill()
            worker.wait()
            log.close()
