"""From a file to stored results with many bundles: audit row, SR and SEG name the same algorithms."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from sqlalchemy import select

from models import phantom
from models.bundle import store
from models.values import codes
from node.db import audit, studies
from node.db.engine import Database
from node.db.states import InstanceState
from node.db.studies import RoutingDecision
from node.db.studies.received import ReceivedInstance
from node.db.tables import ResultRow
from node.errors import BrokerUnavailable
from node.settings import Settings
from node.spool.incoming import AssociationInfo, AssociationOutcome
from node.spool.store import Spool
from tests.support.data import tiny_bundles
from tests.support.results.encoded import answers, measurement_groups, named
from workers.jobs.analysis import analyse_job
from workers.jobs.runtime import Runtime
from workers.pipelines.networks import Networks

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class NoBroker:
    """A sender whose broker is never there: results stay in the node."""

    def deliver(self, job_id: str, destination: str, *, priority: str) -> None:
        raise BrokerUnavailable("none")


@dataclass
class Answered:
    """What one job left behind."""

    bundles: dict[str, str]
    configuration_digest: str
    segs: tuple[Dataset, ...]
    sr: Dataset
    paths: tuple[Path, ...]

    @property
    def labels(self) -> list[str]:
        """What was outlined, of every bundle."""
        return [str(item.SegmentLabel) for seg in self.segs for item in seg.SegmentSequence]


Run = Callable[..., Answered]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    tiny_bundles.segmenter(folder)
    tiny_bundles.classifier(folder, "pneumothorax", {"pneumothorax": 0.6})
    tiny_bundles.classifier(folder, "adult-pneumonia", {"lung-opacity": 0.3}, concepts=[codes.LUNG_OPACITY])
    tiny_bundles.lesion_segmenter(folder, "pneumothorax-segmentation", 0.9, gated_by="pneumothorax")
    return folder


@pytest.fixture
def run(root: Path, tmp_path: Path, database: Database) -> Run:
    """Run one job over a phantom of its own, with these bundles and the site's thresholds."""

    def once(seed: int = 9, thresholds: dict[str, dict[str, float | str]] | None = None) -> Answered:
        home = tmp_path / str(seed)
        settings = Settings(home=home, analysis={"bundles": root, "operating_points": thresholds or {}})
        database.clock = lambda: NOW
        made = Runtime(
            settings=settings,
            database=database,
            spool=Spool.create(home / "spool"),
            sender=NoBroker(),  # type: ignore[arg-type]
            networks=Networks(settings.analysis, "cpu"),
        )
        job = _job(database, made.spool, tmp_path / f"{seed}.dcm", seed)
        assert analyse_job(made, job)
        return _answered(made, job)

    return once


def _job(database: Database, spool: Spool, path: Path, seed: int) -> str:
    phantom.write(path, phantom.generate(seed, rows=600, columns=501))
    ds = dcmread(path)
    with database.write() as tx:
        info = AssociationInfo(f"a{seed}", "ROUTER", "HILUM", "127.0.0.1", NOW)
        studies.record_association(tx, info, AssociationOutcome.RELEASED)
        kept = spool.keep(path)
        received = ReceivedInstance(
            arrival=f"a{seed}/1",
            association_id=f"a{seed}",
            received_at=NOW,
            digest=kept.sha256,
            size_bytes=kept.size,
            state=InstanceState.ACCEPTED,
            study_instance_uid=str(ds.StudyInstanceUID),
            sop_instance_uid=str(ds.SOPInstanceUID),
            sop_class_uid=str(ds.SOPClassUID),
            transfer_syntax_uid=str(ds.file_meta.TransferSyntaxUID),
        )
        studies.record_instance(tx, received)
        (found,) = studies.open_studies(tx)
        decision = RoutingDecision(rule="all", pipeline="chest", priority="routine", bundles=None, destinations=[])
        return studies.complete(tx, found.id, reason="released", decision=decision)


def _answered(runtime: Runtime, job: str) -> Answered:
    with runtime.database.read() as tx:
        (row,) = [event for event in audit.events(tx, job_id=job) if event.action == "job.analysed"]
        query = select(ResultRow).where(ResultRow.job_id == job).order_by(ResultRow.id)
        stored = [(one.kind, runtime.spool.result_path(one.sha256)) for one in tx.scalars(query)]
    return Answered(
        bundles=row.detail["bundles"],
        configuration_digest=row.detail["configuration_digest"],
        segs=tuple(dcmread(path) for kind, path in stored if kind == "SEG"),
        sr=next(dcmread(path) for kind, path in stored if kind == "SR"),
        paths=tuple(path for _, path in stored),
    )


def _named_in(answered: Answered) -> tuple[dict[str, str], dict[str, str]]:
    """Return the digest of each algorithm by SEG and by SR, from Contributing Equipment."""

    def named(*objects: Dataset) -> dict[str, str]:
        own = [i for ds in objects for i in ds.ContributingEquipmentSequence if i.Manufacturer == "Hilum"]
        return {str(item.ManufacturerModelName): str(item.DeviceSerialNumber) for item in own}

    return named(*answered.segs), named(answered.sr)


def test_one_job_runs_every_bundle_and_all_name_the_same_algorithms(run: Run, root: Path) -> None:
    done = run()
    shipped = {bundle.manifest.name: bundle.digest for bundle in store.find(root)}
    assert done.bundles == shipped
    in_seg, in_sr = _named_in(done)
    assert in_sr == shipped
    assert in_seg == {name: shipped[name] for name in ("lungs-heart", "pneumothorax-segmentation")}
    assert done.labels[-1] == "Pneumothorax"
    findings = [group for group in measurement_groups(done.sr) if named(group, "122157")]
    assert {tuple(answers(group, "121071")) for group in findings} == {("36118008",), ("112001",)}


def test_a_sites_threshold_changes_the_identity_in_audit_row_seg_and_sr(run: Run, root: Path) -> None:
    mine = run(9, {"pneumothorax": {"pneumothorax": 0.55}})
    shipped = {bundle.manifest.name: bundle.digest for bundle in store.find(root)}
    assert mine.bundles["pneumothorax"] != shipped["pneumothorax"]
    assert {**mine.bundles, "pneumothorax": shipped["pneumothorax"]} == shipped
    in_seg, in_sr = _named_in(mine)
    assert in_sr == mine.bundles
    assert in_seg.items() <= mine.bundles.items()
    rules = {item.TextValue for item in named(mine.sr, "THRESHOLD-RULE")}
    assert "set by this site's configuration (manifest: 0.4, rule a rule)" in rules


def test_a_sites_threshold_closes_the_gate_of_the_outline(run: Run) -> None:
    done = run(9, {"pneumothorax": {"pneumothorax": "strict"}})
    assert "Pneumothorax" not in done.labels
    assert "not-found-by-classifier" in answers(done.sr, "REASON")
    assert any("to the operating point 'strict'" in item.TextValue for item in named(done.sr, "THRESHOLD-RULE"))


def test_the_stored_objects_pass_the_validators_of_others(run: Run) -> None:
    dciodvfy, dsrdump = shutil.which("dciodvfy"), shutil.which("dsrdump")
    if dciodvfy is None or dsrdump is None:
        pytest.skip("dciodvfy or dsrdump is not installed")
    done = run()
    for path in done.paths:
        said = subprocess.run(
            [dciodvfy, "-new", path], capture_output=True, text=True, errors="replace", check=False, timeout=60
        ).stderr
        assert [line for line in said.splitlines() if line.startswith("Error")] == []
    read = subprocess.run(
        [dsrdump, "+Pl", done.paths[-1]], capture_output=True, text=True, errors="replace", check=False, timeout=60
    )
    assert (read.returncode, read.stderr) == (0, "")
    assert "Opacity" in read.stdout
    assert "Pneumothorax: present on both sides" in read.stdout
