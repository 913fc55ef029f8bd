"""A job of a worker without broker and networks: what a stand-in finds in the images of one study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from models import phantom
from models.values import codes
from models.values.findings import Gate, ImageFindings, Segment
from node.db import studies
from node.db.states import InstanceState
from node.db.studies.received import ReceivedInstance
from node.dicom.header import read_header
from node.settings import Settings
from node.spool.incoming import AssociationInfo, AssociationOutcome
from node.spool.store import Spool
from tests.support.rows import DECISION
from tests.support.stand_ins import NOW, NoBroker
from workers.jobs.analysis import analyse_job
from workers.jobs.runtime import Runtime
from workers.pipelines.networks import Networks


class Outliner:
    """Finds one structure in every image, of the category that it was given."""

    def __init__(self, bundle, category):
        self.bundle, self.category = bundle, category

    def analyse(self, radiograph, *, sop_instance_uid, **_values):
        mask = np.zeros(radiograph.orientation.to_source(radiograph.pixels).shape, np.bool_)
        mask[20:60, 30:70] = True
        segment = Segment("heart", codes.HEART, self.category, None, (235, 95, 85), mask, self.bundle)
        return ImageFindings(sop_instance_uid, Gate(None, "stand-in"), segments=(segment,))


class Stub(Networks):
    """The shipped bundles' identities, with a stand-in for what they compute."""

    category = codes.ANATOMICAL_STRUCTURE

    def loaded(self, pipeline, chosen):
        return Outliner(chosen[0].identity, self.category)


def analysed(
    database,
    folder: Path,
    networks: type[Networks],
    sources: Sequence[Path] = (),
    **profiles: str,
) -> tuple[Runtime, str]:
    """Analyse images of one study, or a phantom where none are given, for destinations with these profiles.

    Returns the job's id beside what it ran in.
    """
    runtime, job_id = waiting(database, folder, networks, sources, **profiles)
    assert analyse_job(runtime, job_id)
    return runtime, job_id


def waiting(
    database, folder: Path, networks: type[Networks], sources: Sequence[Path] = (), **profiles: str
) -> tuple[Runtime, str]:
    """Return the queued job of one study, as `analysed` runs it."""
    profiles = profiles or {"pacs": "ohif"}
    if not sources:
        sources = [folder / "source.dcm"]
        phantom.write(sources[0], phantom.generate(4, rows=288, columns=260))
    peer = {"ae_title": "PACS", "host": "127.0.0.1", "port": 104}
    settings = Settings(
        home=folder, destinations={name: {**peer, "profile": profile} for name, profile in profiles.items()}
    )
    spool = Spool.create(folder / "spool")
    database.clock = lambda: NOW
    runtime = Runtime(settings, database, spool, NoBroker(), networks(settings.analysis, "cpu"))
    with database.write() as tx:
        info = AssociationInfo("a", "ROUTER", "HILUM", "127.0.0.1", NOW)
        studies.record_association(tx, info, AssociationOutcome.RELEASED)
        for number, source in enumerate(sources, start=1):
            studies.record_instance(tx, _received(number, source, spool))
        (study,) = studies.open_studies(tx)
        decision = replace(DECISION, destinations=list(profiles))
        job_id = studies.complete(tx, study.id, reason="released", decision=decision)
    return runtime, job_id


def _received(number: int, source: Path, spool: Spool) -> ReceivedInstance:
    header, kept = read_header(source), spool.keep(source)
    return ReceivedInstance(
        arrival=f"a/{number}",
        association_id="a",
        received_at=NOW,
        digest=kept.sha256,
        size_bytes=kept.size,
        state=InstanceState.ACCEPTED,
        reason=None,
        study_instance_uid=header.study_instance_uid,
        sop_instance_uid=header.sop_instance_uid,
        sop_class_uid=header.sop_class_uid,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
    )
