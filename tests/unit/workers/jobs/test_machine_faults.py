"""A fault of the machine is none of the study's: no attempt is used up, and the worker waits until it is well."""

import itertools
import shutil
import subprocess
import sys
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from node.db import audit, processes, report
from node.db.audit import Action
from node.db.states import JobState
from node.db.tables import JobRow
from node.settings import Settings
from tests.support.data.tiny_bundles import segmenter
from tests.support.disks import fill, small_disk, unreadable
from tests.support.results.jobs import Stub, analysed, waiting
from tests.support.stand_ins import NOW, Clock
from workers.jobs.analysis import MAXIMUM_FAULTS, analyse_job
from workers.jobs.machine import Machine
from workers.pipelines.networks import Networks


def row(database, job_id):
    with database.read() as tx:
        return tx.get_one(JobRow, job_id)


def kinds(database, job_id):
    with database.read() as tx:
        return [line.kind for line in report.result_lines(tx, job_id)]


def impatient(database, folder, networks):
    """Return a queued job in a worker that looks at an unwell machine each time that it is asked."""
    runtime, job_id = waiting(database, folder, networks)
    runtime.machine = Machine(runtime.spool, runtime.networks, monotonic=lambda: next(hours))
    hours = itertools.count(0, 3600)
    return runtime, job_id


@pytest.mark.parametrize("folder", ["objects", "results"])
def test_a_folder_that_is_away_stops_the_worker_and_costs_no_attempt(database, tmp_path, folder):
    runtime, job_id = impatient(database, tmp_path, Stub)
    place = runtime.spool.root / folder
    with capture_logs() as logs:
        place.rename(tmp_path / "away")
        for _ in range(10):
            assert not analyse_job(runtime, job_id)
        place.mkdir()  # the mount point, with nothing mounted on it
        assert not analyse_job(runtime, job_id)
        assert (row(database, job_id).state, row(database, job_id).attempts) == (JobState.QUEUED, 0)
        place.rmdir()
        (tmp_path / "away").rename(place)
        assert analyse_job(runtime, job_id)
    assert kinds(database, job_id) == ["SEG", "SR"]
    said = [entry["event"] for entry in logs if entry["event"].startswith("worker.")]
    assert said == ["worker.stopped_taking_jobs", "worker.goes_on"]


def test_a_full_disk_stops_the_worker_before_anything_is_computed(database, tmp_path):
    class Counted(Stub):
        loads = 0

        def loaded(self, pipeline, chosen):
            Counted.loads += 1
            return super().loaded(pipeline, chosen)

    with small_disk(tmp_path / "spool", megabytes=24):
        runtime, job_id = impatient(database, tmp_path, Counted)
        with fill(runtime.spool.root):
            for _ in range(5):
                assert not analyse_job(runtime, job_id)
            assert (row(database, job_id).attempts, Counted.loads) == (0, 0)
        assert analyse_job(runtime, job_id)
        assert kinds(database, job_id) == ["SEG", "SR"]


def test_a_fault_in_the_middle_of_a_job_is_no_attempt_and_makes_others_go_first(database, tmp_path):
    runtime, job_id = impatient(database, tmp_path, Stub)
    (kept,) = (runtime.spool.root / "objects").rglob("*.dcm")
    with unreadable(kept):
        assert analyse_job(runtime, job_id)
        with database.read() as tx:
            found = report.status(tx)
        assert (found.deferred, found.deferred_why) == (1, "cannot read objects: Input/output error")
    job = row(database, job_id)
    assert (job.state, job.attempts, job.faults) == (JobState.QUEUED, 0, 1)
    assert job.due_at > NOW, "what waits besides is done before it"
    database.clock = Clock(NOW + timedelta(seconds=6))
    assert analyse_job(runtime, job_id)
    assert kinds(database, job_id) == ["SEG", "SR"]
    with database.read() as tx:
        (event,) = [event for event in audit.events(tx) if event.action == Action.JOB_DEFERRED]
    assert event.detail["why"] == "cannot read objects: Input/output error"


def test_an_object_that_alone_cannot_be_read_ends_with_an_answer(database, tmp_path):
    runtime, job_id = impatient(database, tmp_path, Stub)
    (kept,) = (runtime.spool.root / "objects").rglob("*.dcm")
    with unreadable(kept):
        for hours in range(MAXIMUM_FAULTS):
            database.clock = Clock(NOW + timedelta(hours=hours))
            assert analyse_job(runtime, job_id)
            assert row(database, job_id).state is JobState.QUEUED
        database.clock = Clock(NOW + timedelta(hours=MAXIMUM_FAULTS))
        assert analyse_job(runtime, job_id)
    assert kinds(database, job_id) == ["SR"]
    with database.read() as tx:
        assert report.status(tx).lost_images == 1


def test_bundles_that_do_not_verify_are_no_fault_of_the_study(database, tmp_path):
    bundles = tmp_path / "bundles"
    bundles.mkdir()
    weights = segmenter(bundles) / "weights.safetensors"
    sound = weights.read_bytes()
    runtime, job_id = impatient(database, tmp_path, Stub)
    runtime.networks.settings = Settings(analysis={"bundles": bundles}).analysis
    weights.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    with capture_logs() as logs:
        assert analyse_job(runtime, job_id)
        for _ in range(5):
            assert not analyse_job(runtime, job_id)
    assert [entry["event"] for entry in logs if entry["event"].startswith("worker.")] == ["worker.stopped_taking_jobs"]
    assert (row(database, job_id).attempts, row(database, job_id).faults) == (0, 1)
    weights.write_bytes(sound)
    database.clock = Clock(NOW + timedelta(seconds=6))
    assert analyse_job(runtime, job_id)
    assert "SR" in kinds(database, job_id)


def test_a_parser_that_raises_an_oserror_is_the_studys_own_fault(database, tmp_path):
    class Odd(Networks):
        def choose(self, pipeline, names):
            raise OSError("No tag to read at file position 123")

    _, job_id = analysed(database, tmp_path, Odd)
    assert (row(database, job_id).attempts, row(database, job_id).faults) == (1, 0)


def test_findings_are_not_computed_again_when_only_the_results_could_not_be_stored(database, tmp_path):
    class Counted(Stub):
        loads = 0

        def loaded(self, pipeline, chosen):
            Counted.loads += 1
            return super().loaded(pipeline, chosen)

    runtime, job_id = impatient(database, tmp_path, Counted)
    blocked = runtime.spool.root / "results"
    for number in range(256):
        (blocked / f"{number:02x}").touch()  # where a folder must be
    assert analyse_job(runtime, job_id)
    assert (row(database, job_id).attempts, row(database, job_id).faults) == (0, 1)
    for file in blocked.glob("??"):
        file.unlink()
    database.clock = Clock(NOW + timedelta(seconds=6))
    assert analyse_job(runtime, job_id)
    assert (Counted.loads, kinds(database, job_id)) == (1, ["SEG", "SR"])


def test_a_spool_that_is_gone_is_not_made_anew_beside_the_one_that_comes_back(tmp_path, database):
    runtime, _ = waiting(database, tmp_path, Stub)
    objects = runtime.spool.root / "objects"
    objects.rename(tmp_path / "away")
    again = type(runtime.spool).create(runtime.spool.root)
    assert not objects.exists()
    shutil.move(tmp_path / "away", objects)
    again.require_usable()


# Workers that fall silent


def silent(database, tmp_path, *, others_seen_at, started_at=NOW):
    """Return a job whose worker fell silent after its claim, and what became of it."""
    from tests.support.rows import claimed_job, queued_job, reclaim
    from tests.support.stand_ins import at, later

    job_id = queued_job(database)
    claimed_job(database, job_id, lease_s=60)
    other = at(database, started_at)
    other.actor = "another worker"
    with other.write() as tx:
        processes.beat(tx, "analysis", device="cpu")
        tx.flush()
    if others_seen_at is not None:
        other = at(database, later(others_seen_at))
        other.actor = "another worker"
        with other.write() as tx:
            processes.beat(tx, "analysis", device="cpu")
    with at(database, later(61)).write() as tx:
        assert reclaim(tx) == [job_id]
    return row(database, job_id)


def test_a_job_whose_worker_died_while_others_went_on_is_charged_with_it(database, tmp_path):
    job = silent(database, tmp_path, others_seen_at=45)
    assert (job.state, job.attempts, job.faults) == (JobState.QUEUED, 1, 0)


def test_where_all_workers_stopped_no_job_is_charged_with_it(database, tmp_path):
    job = silent(database, tmp_path, others_seen_at=15)
    assert (job.state, job.attempts, job.faults) == (JobState.QUEUED, 0, 1)


def test_a_job_that_takes_all_workers_down_each_time_ends_nevertheless(database, tmp_path):
    from tests.support.rows import claimed_job, queued_job, reclaim
    from tests.support.stand_ins import at, later

    job_id = queued_job(database)
    for number in range(processes.MAXIMUM_STOPS + 6):
        claimed_job(database, job_id, now=later(100 * number))
        with at(database, later(100 * number + 61)).write() as tx:
            assert reclaim(tx) == [job_id]
    assert row(database, job_id).state is JobState.FAILED


def test_memory_that_has_run_out_is_of_the_machine_whatever_the_library_calls_it():
    """In a process with little memory left, where each library fails in its own words."""
    script = """
import resource, sys, threading
import cv2, numpy as np, torch
from workers.pipelines.faults import is_of_machine

used = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 20), used + (1 << 20)))
for name, work in {
    "threads": lambda: threading.Thread(target=print).start(),
    "torch": lambda: torch.empty(1 << 40, dtype=torch.uint8),
    "OpenCV": lambda: cv2.resize(np.zeros((10, 10), np.uint8), (60000, 60000)),
    "numpy": lambda: np.zeros(1 << 40, np.uint8),
}.items():
    try:
        work()
    except Exception as error:
        if not is_of_machine(error):
            sys.exit(f"{name}: {error!r}")
    else:
        sys.exit(f"{name} did not fail")
"""
    outcome = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=120)
    assert outcome.returncode == 0, outcome.stderr
