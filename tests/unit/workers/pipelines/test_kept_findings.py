"""What is read and computed for a job: each file once and for its pixels, each image's networks never twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from models import phantom
from node.db import report, studies
from node.delivery.profiles import BUILT_IN, Profile
from node.dicom.part10 import identity_digest
from node.settings import AnalysisSettings
from node.spool.store import Spool
from tests.support.opened_files import DECODER_OPENS, opened_under
from tests.support.results.jobs import Stub, analysed
from tests.support.rows import DECISION
from tests.support.stand_ins import NOW
from workers.jobs.analysis import analyse_job
from workers.pipelines.chest.pipeline import PIPELINE as CHEST
from workers.pipelines.run import Analysis, Asked, run
from workers.pipelines.study import Study, read_image


class Counting(Stub):
    """Counts how often networks are run."""

    runs = 0

    def loaded(self, pipeline, chosen):
        outliner = super().loaded(pipeline, chosen)
        analyse = outliner.analyse

        def counted(radiograph, **values):
            Counting.runs += 1
            return analyse(radiograph, **values)

        outliner.analyse = counted
        return outliner


@pytest.fixture(autouse=True)
def _from_nothing():
    Counting.runs = 0


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """Two images of one study."""
    paths = [tmp_path / f"{seed}.dcm" for seed in (4, 5)]
    for seed, path in zip((4, 5), paths, strict=True):
        phantom.write(path, phantom.generate(seed, rows=288, columns=260), study_instance_uid="1.2.3")
    return paths


@pytest.mark.parametrize("profile", ["ohif", "complete"])
def test_each_image_is_opened_once_for_its_header_and_then_for_its_pixels(database, tmp_path, two, profile):
    with opened_under(tmp_path / "spool" / "objects") as opened:
        analysed(database, tmp_path, Stub, two, pacs=profile)
    times = Counter(path for path in opened if path.suffix == ".dcm")
    assert list(times.values()) == [1 + DECODER_OPENS] * len(two), times


def study(paths: list[Path]) -> Study:
    return Study("1.2.3", tuple(read_image(path, digest=identity_digest(path)[0]) for path in paths))


def test_a_study_is_read_with_one_open_for_each_image(tmp_path, two):
    two = [path for path in two if identity_digest(path)]
    with opened_under(tmp_path) as opened:
        images = [read_image(path, digest="0" * 64) for path in two]
    assert Counter(opened) == dict.fromkeys(two, 1)
    assert all(image.header is not None and image.source is not None for image in images)


def test_results_are_made_of_a_read_study_without_opening_it_again(tmp_path, two):
    spool, read = Spool.create(tmp_path / "spool"), study(two)
    first = ask(spool, read)
    with opened_under(tmp_path) as opened:
        again = ask(spool, read)
    assert not [path for path in opened if path in two]
    assert (first.computed, again.computed) == (2, 0)


def ask(spool: Spool, of: Study, *profiles: Profile, **values) -> Analysis:
    """Analyse a study with findings kept in a spool."""
    asked = Asked(created_at=NOW, profiles=profiles or (BUILT_IN["ohif"],), **values)
    return run(CHEST, Counting(AnalysisSettings(), "cpu"), of, asked, kept=spool.findings)


@pytest.mark.parametrize(
    "profile",
    [
        BUILT_IN["strict"],
        BUILT_IN["secondary-capture"],
        Profile(name="french", language="fr", text_report=True),
    ],
    ids=lambda profile: profile.name,
)
def test_another_profile_destination_or_language_needs_no_network(tmp_path, two, profile):
    spool, read = Spool.create(tmp_path / "spool"), study(two)
    ask(spool, read)
    fresh = ask(Spool.create(tmp_path / "other"), read, profile)
    kept = ask(spool, read, profile)
    assert Counting.runs == 4 and kept.computed == 0
    assert kept.results == fresh.results
    assert kept.summary == fresh.summary


def test_findings_with_heat_maps_serve_those_who_want_none(tmp_path, two):
    spool, read = Spool.create(tmp_path / "spool"), study(two)
    assert ask(spool, read, BUILT_IN["complete"]).computed == 2
    kept = ask(spool, read)
    assert kept.computed == 0
    assert kept.results == ask(Spool.create(tmp_path / "other"), read).results


class OtherPipeline(type(CHEST)):
    """Another pipeline with the same bundles and findings."""

    name = "other"


def test_another_pipeline_has_findings_of_its_own(tmp_path, two):
    spool, read = Spool.create(tmp_path / "spool"), study(two)
    ask(spool, read)
    asked = Asked(created_at=NOW, profiles=(BUILT_IN["ohif"],))
    networks = Counting(AnalysisSettings(), "cpu")
    assert run(OtherPipeline(), networks, read, asked, kept=spool.findings).computed == 2


def test_findings_of_one_image_in_the_place_of_anothers_are_computed_again(tmp_path, two):
    spool, read = Spool.create(tmp_path / "spool"), study(two)
    first = ask(spool, read)
    one, other = sorted((tmp_path / "spool" / "findings").rglob("*.findings"))
    other.write_bytes(one.read_bytes())
    again = ask(spool, read)
    assert (again.computed, again.results) == (1, first.results)


def test_a_late_image_is_the_only_one_that_is_computed(tmp_path, two):
    spool = Spool.create(tmp_path / "spool")
    ask(spool, study(two[:1]))
    late = ask(spool, study(two), revision=2)
    assert (late.computed, Counting.runs) == (1, 2)
    assert len(late.request.images) == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied"])
def test_damaged_findings_are_computed_again_and_replaced(tmp_path, two, damage):
    spool, read = Spool.create(tmp_path / "spool"), study(two[:1])
    first = ask(spool, read)
    (file,) = (tmp_path / "spool" / "findings").rglob("*.findings")
    whole = file.read_bytes()
    file.write_bytes({"cut": whole[:200], "flipped": whole[:-9] + b"!" + whole[-8:], "emptied": b""}[damage])
    again = ask(spool, read)
    assert (again.computed, again.results) == (1, first.results)
    assert ask(spool, read).computed == 0


def test_other_arithmetic_is_another_configuration(tmp_path, two):
    spool, read = Spool.create(tmp_path / "spool"), study(two[:1])
    ask(spool, read)
    other = Counting(AnalysisSettings(dtype="bfloat16"), "cpu")
    asked = Asked(created_at=NOW, profiles=(BUILT_IN["ohif"],))
    assert run(CHEST, other, read, asked, kept=spool.findings).computed == 1


def test_a_rerun_of_a_job_needs_no_network(database, tmp_path, two):
    runtime, job_id = analysed(database, tmp_path, Counting, two)
    assert Counting.runs == 2
    with database.write() as tx:
        studies.reopen(tx, "1.2.3")
        (open_study,) = studies.open_studies(tx)
        decision = replace(DECISION, destinations=["pacs"])
        again = studies.complete(tx, open_study.id, reason="rerun", decision=decision)
    assert analyse_job(runtime, again)
    assert Counting.runs == 2
    with database.read() as tx:
        kinds = [[line.kind for line in report.result_lines(tx, job)] for job in (job_id, again)]
    assert kinds[0] == kinds[1] == ["SEG", "SEG", "SR"]


def test_a_full_disk_costs_the_kept_findings_and_not_the_answer(tmp_path, two):
    spool = Spool.create(tmp_path / "spool")
    (tmp_path / "spool" / "findings").rmdir()
    (tmp_path / "spool" / "findings").write_bytes(b"no folder")
    done = ask(spool, study(two[:1]))
    assert done.computed == 1 and [result.kind for _, result in done.results] == ["SEG", "SR"]
