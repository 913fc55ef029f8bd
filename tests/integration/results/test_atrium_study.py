"""A study of MR series through the atrium's pipeline: SEG and report as other programs read them."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from models.volume.findings import VolumeFindings
from node.delivery.profiles import BUILT_IN, OHIF
from node.dicom.part10 import identity_digest
from node.reasons import Reason
from node.settings import AnalysisSettings
from node.spool.store import Spool
from tests.support.data import mr as made
from tests.support.data import volumes
from tests.support.data.sources import read_sources
from tests.support.opened_files import opened_under
from tests.support.peers.readers import program
from tests.support.results.encoded import answers, named, read
from tests.support.stand_ins import NOW
from workers.pipelines.atrium.pipeline import PIPELINE
from workers.pipelines.networks import Networks
from workers.pipelines.run import Analysis, Asked, run
from workers.pipelines.study import Study, read_image

SHAPE = (24, 40, 36)


class Bright(Networks):
    """Networks of one bundle that finds what is bright."""

    bundle = None

    def choose(self, pipeline, names):
        return (self.bundle,)


class Blind(Bright):
    """Networks that find nothing."""

    def loaded(self, pipeline, chosen):
        return self

    def analyse(self, of):
        manifest = self.bundle.manifest
        return VolumeFindings(np.zeros(of.pixels.shape, np.bool_), 0.0, self.bundle.identity, manifest.labels[0], ())


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    bundle = volumes.bright_bundle(tmp_path_factory.mktemp("bundles") / "bright", field_mm=(70.0, 70.0, 70.0))
    found = Bright(AnalysisSettings(), "cpu")
    found.bundle = bundle
    return found


def series(folder: Path, **values: Any) -> list[Path]:
    """Write a series with a bright body."""
    folder.mkdir(exist_ok=True)
    body = volumes.body(SHAPE, (12, 20, 18), 7)
    return made.series(folder, (body * 900 + 100).astype(np.uint16), **values)


def study(paths: list[Path]) -> Study:
    images = tuple(read_image(path, digest=identity_digest(path)[0]) for path in paths)
    return Study(str(dcmread(paths[0]).StudyInstanceUID), images)


def analysed(networks: Networks, paths: list[Path], **values: Any) -> Analysis:
    return run(PIPELINE, networks, study(paths), Asked(created_at=NOW, **{"profiles": [OHIF], **values}))


def test_a_series_comes_back_as_a_seg_and_a_report_that_names_its_volume(networks, tmp_path):
    analysis = analysed(networks, series(tmp_path / "series"))
    seg, sr = (read(result) for _, result in analysis.results)
    assert (seg.Modality, sr.Modality) == ("SEG", "SR")
    assert not analysis.withheld
    (volume,) = named(sr, "118565006")
    value = volume.MeasuredValueSequence[0]
    assert value.MeasurementUnitsCodeSequence[0].CodeValue == "mL"
    spacing = 2.5 * 1.25 * 1.25
    assert float(value.NumericValue) == pytest.approx(float(seg.pixel_array.sum()) * spacing / 1000, rel=1e-5)
    assert str(seg.SegmentSequence[0].TrackingUID) in [str(item.UID) for item in named(sr, "112040")]
    assert answers(sr, "121058") == ["113091000"]
    assert (
        sr.StudyInstanceUID == seg.StudyInstanceUID == dcmread(next((tmp_path / "series").iterdir())).StudyInstanceUID
    )
    assert "Left atrium" in str(analysis.summary["text"])


@pytest.mark.parametrize("profile", ["strict", "complete", "labelmap"])
def test_every_profile_has_results_that_pass_their_checks(networks, tmp_path, profile):
    analysis = analysed(networks, series(tmp_path / "series"), profiles=[BUILT_IN[profile]])
    assert not analysis.withheld
    kinds = [result.kind for _, result in analysis.results]
    assert kinds[:2] == ["SEG", "SR"]


def test_the_order_of_the_files_changes_nothing(networks, tmp_path):
    paths = series(tmp_path / "series")
    assert analysed(networks, paths).results == analysed(networks, paths[::-1]).results


def test_a_slice_is_opened_once_for_its_header_and_then_by_the_decoder_alone(networks, tmp_path):
    paths = series(tmp_path / "series")
    digests = [identity_digest(path)[0] for path in paths]
    with opened_under(tmp_path / "series") as opened:
        images = tuple(read_image(path, digest=digest) for path, digest in zip(paths, digests, strict=True))
        whole = Study(str(images[0].source.header.StudyInstanceUID), images)
        run(PIPELINE, networks, whole, Asked(created_at=NOW, profiles=[OHIF]))
    assert set(Counter(opened).values()) == {1 + 1}, Counter(opened)


def test_findings_of_a_series_are_kept(networks, tmp_path):
    spool, of = Spool.create(tmp_path / "spool"), study(series(tmp_path / "series"))
    asked = Asked(created_at=NOW, profiles=[OHIF])
    first, again = (run(PIPELINE, networks, of, asked, kept=spool.findings) for _ in range(2))
    assert (first.computed, again.computed) == (1, 0)
    assert first.results == again.results


def test_a_series_with_a_gap_is_answered_with_the_reason(networks, tmp_path):
    analysis = analysed(networks, series(tmp_path / "series", leave_out=(9,)))
    ((_, result),) = analysis.results
    sr = read(result)
    assert answers(sr, "REASON") == [Reason.NO_VOLUME]
    assert set(answers(sr, "111065")) == {"111225"}  # Summary of Analyses: Not Attempted
    assert len(analysis.summary["declined_series"]) == 1


def test_where_nothing_is_found_the_report_says_so(networks, tmp_path):
    blind = Blind(AnalysisSettings(), "cpu")
    blind.bundle = networks.bundle
    analysis = analysed(blind, series(tmp_path / "series"))
    assert [result.kind for _, result in analysis.results] == ["SR"]
    assert "Left atrium: not found in the series" in analysis.summary["text"]


@pytest.mark.parametrize("kind", ["SEG", "SR"])
def test_other_programs_read_the_results(networks, tmp_path, kind):
    checker, dump = program("dciodvfy"), program("dsrdump")
    analysis = analysed(networks, series(tmp_path / "series"))
    (result,) = [result for _, result in analysis.results if result.kind == kind]
    path = tmp_path / "result.dcm"
    path.write_bytes(result.content)
    checked = subprocess.run([checker, path], capture_output=True, text=True, check=False)
    assert not [line for line in checked.stderr.splitlines() if line.startswith("Error")]
    if kind == "SR":
        said = subprocess.run([dump, path], capture_output=True, text=True, check=True).stdout
        assert "Left atrium, volume" in said


def test_sources_are_read_in_the_order_of_their_numbers(tmp_path):
    assert [source.position for source in read_sources(series(tmp_path / "s"))] == list(range(1, SHAPE[0] + 1))
