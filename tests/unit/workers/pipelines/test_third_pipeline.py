"""A third pipeline is a folder and an entry point: nothing of the node, its workers or its results changes for it.

It lies in a folder that only this test knows, as a distribution that a site installs beside the node would.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from node import pipelines
from node.db import audit, report
from node.db.states import JobState
from node.dicom.contexts import accepted_contexts
from node.dispatch.dispatcher import Dispatcher
from node.settings import Settings
from node.spool.incoming import AssociationInfo, AssociationOutcome, new_association_id
from node.spool.store import Spool
from tests.support.data.sources import CR, source
from tests.support.results.encoded import answers, named
from tests.support.stand_ins import Broker, steady
from workers.jobs.analysis import analyse_job
from workers.jobs.runtime import Runtime
from workers.pipelines import protocol
from workers.pipelines.networks import Networks

MAMMOGRAPHY = "1.2.840.10008.5.1.4.1.1.1.2"

MODULE = f'''
from dataclasses import dataclass, replace

from node.dicom.contexts import StorageClass, Use
from node.reasons import Reason


@dataclass(frozen=True)
class Brightness:
    """The mean grey of one image."""

    sop_instance_uid: str
    mean: float


class ToyPipeline:
    name = "toy"
    takes = "Analysed are images that are not of the chest."
    storage_classes = (StorageClass("{MAMMOGRAPHY}", "Digital Mammography X-Ray Image Storage", Use.ANALYSED),)
    tasks = ()
    findings = Brightness

    def decline(self, header):
        chest = header.body_part == "CHEST"
        return (Reason.NOT_FOR_THIS_ANALYSIS, "body part CHEST") if chest else None

    def completion(self, settings):
        return settings

    def choose(self, bundles, names):
        return ()

    def load(self, bundles, *, device, dtype, threads):
        return None

    def units(self, images):
        from workers.pipelines.protocol import Unit

        return tuple(Unit((image,), image.digest) for image in images)

    def find(self, networks, unit, study, stage, *, heat_maps):
        (image,) = unit.images
        with stage("decode"):
            radiograph = study.radiographs.of(image.source)
        return Brightness(image.sop_instance_uid, float(radiograph.pixels.mean()))

    def describe(self, request, found, unanalysed):
        from models.values.codes import PERCENT, THORAX, WIDTH
        from models.values.findings import BundleIdentity, Gate, ImageFindings, Measurement
        from workers.results.request import DeclinedImage

        toy = BundleIdentity("toy", "0.0.1", "70" * 32)
        images = tuple(
            ImageFindings(
                one.sop_instance_uid,
                Gate(None, "a toy"),
                measurements=(Measurement("toy brightness", WIDTH, 100 * one.mean, PERCENT, THORAX, None, toy),),
            )
            for one in found
        )
        declined = tuple(DeclinedImage(u.image.sop_instance_uid, u.reason, u.detail) for u in unanalysed)
        return replace(request, images=images, declined=declined, bundles=(toy,) if images else ())


PIPELINE = ToyPipeline()
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[protocol.Pipeline]:
    """Install the toy: its folder, and the metadata that pip would write."""
    place = tmp_path / "site-packages"
    (place / "toy_pipeline").mkdir(parents=True)
    (place / "toy_pipeline" / "__init__.py").write_text(MODULE)
    metadata = place / "toy_pipeline-0.0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-pipeline\nVersion: 0.0.1\n")
    (metadata / "entry_points.txt").write_text("[hilum.pipelines]\ntoy = toy_pipeline:PIPELINE\n")
    monkeypatch.syspath_prepend(str(place))
    pipelines.named.cache_clear()
    yield protocol.named("toy")
    pipelines.named.cache_clear()
    sys.modules.pop("toy_pipeline", None)


def test_it_is_one_of_those_that_rules_may_name(toy):
    assert pipelines.installed() == ("atrium", "chest", "toy")
    settings = Settings(rules=[{"name": "toys", "pipeline": "toy"}])
    assert MAMMOGRAPHY in accepted_contexts(also=pipelines.storage_classes(settings.rules))
    assert MAMMOGRAPHY not in accepted_contexts()


def test_a_name_that_is_not_installed_is_refused_with_those_that_are():
    with pytest.raises(ValueError, match=r"no pipeline named 'toy'; there are: atrium, chest, none"):
        Settings(rules=[{"name": "toys", "pipeline": "toy"}])


def test_a_study_goes_through_it_from_arrival_to_results(toy, database, tmp_path):
    settings = Settings(
        home=tmp_path / "home",
        completion={"release_s": 0},
        rules=[{"name": "toys", "calling_ae_title": ["TOYS"], "pipeline": "toy"}, {"name": "default"}],
        destinations={"pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": 104}},
    )
    spool = Spool.create(settings.home / "spool")
    info = AssociationInfo(new_association_id(database.clock()), "TOYS", "HILUM", "127.0.0.1", database.clock())
    association = spool.incoming.open(info)
    for number, part in ((1, "HAND"), (2, "CHEST")):
        path = source(tmp_path, sop_class=CR, number=number, BodyPartExamined=part)
        temporary = spool.temporary_path()
        temporary.write_bytes(path.read_bytes())
        association.store(temporary)
    association.close(AssociationOutcome.RELEASED)
    Dispatcher(settings, database, spool, Broker(), steady(database)).round()
    runtime = Runtime(settings, database, spool, Broker(), Networks(settings.analysis, "cpu"))
    with database.read() as tx:
        (line,) = report.study_lines(tx, limit=2)
    assert line.job_id is not None
    assert analyse_job(runtime, line.job_id)
    with database.read() as tx:
        job = report.job(tx, line.job_id)
        results = report.result_lines(tx, line.job_id)
        states = {event.action for event in audit.events(tx)}
    assert (job.pipeline, job.state) == ("toy", JobState.DELIVERING)
    assert {"instance.accepted", "instance.declined", "job.analysed"} <= states
    (result,) = results
    sr = report_of_file(spool.result_path(result.sha256))
    assert answers(sr, "REASON") == ["not-of-the-kind-analysed"]
    (value,) = named(sr, "103355008")
    assert 0 < float(value.MeasuredValueSequence[0].NumericValue) < 100
    assert len(list((settings.home / "spool" / "findings").rglob("*.findings"))) == 1


def report_of_file(path: Path):
    """Read a stored report."""
    from pydicom import dcmread

    return dcmread(path)
