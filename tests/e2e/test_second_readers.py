"""The same results, fetched back from the archive, before programs of others: masks to the pixel, reports, faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from highdicom.sr import srread
from pydicom import dcmread

from tests.support.peers.readers import (
    Masks,
    Refused,
    dcm2json_masks,
    dcmdump_masks,
    dcmqi_masks,
    highdicom_masks,
    program,
    run,
    stored_masks,
    with_positions,
)
from tests.support.peers.system import RunningNode
from tests.support.results.interoperability import record
from tests.support.viewer.cases import PROFILE, Answered

pytestmark = pytest.mark.interoperability
Read = Callable[[Path, Path], Masks]


def _dcmqi_with_positions(path: Path, folder: Path) -> Masks:
    volume = folder / "volume.dcm"
    with_positions(path).save_as(volume)
    return dcmqi_masks(volume, folder)


READERS: dict[str, Read] = {
    "highdicom segread": lambda path, _: highdicom_masks(path),
    "DCMTK dcm2json": lambda path, _: dcm2json_masks(path),
    "DCMTK dcmdump": dcmdump_masks,
    "dcmqi segimage2itkimage": dcmqi_masks,
    "dcmqi segimage2itkimage, with a position for each frame": _dcmqi_with_positions,
}


@pytest.mark.parametrize("reader", READERS)
def test_masks_are_read_as_they_were_stored(node: RunningNode, answered: Answered, reader: str, tmp_path: Path) -> None:
    outcomes = set()
    for number, path in enumerate(answered.of("SEG")):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            masks = READERS[reader](path, folder)
        except Refused as refused:
            outcomes.add(f"refused: {refused}")
            continue
        stored = original(node, answered, path)
        assert set(masks) == set(stored)
        for segment, mask in stored.items():
            assert np.array_equal(masks[segment], mask), segment
        outcomes.add("held")
    (outcome,) = outcomes
    expected = "refused: " if reader == "dcmqi segimage2itkimage" else "held"
    assert outcome.startswith(expected)
    record(source=answered.name, object="SEG", profile=PROFILE, reader=reader, outcome=outcome)


def original(node: RunningNode, answered: Answered, fetched: Path) -> Masks:
    """Return the masks in the file that the node stored, which the archive's is a copy of."""
    uid = dcmread(fetched, stop_before_pixels=True).SOPInstanceUID
    line = node.study(answered.uid)
    assert line is not None
    (path,) = [Path(r.path) for r in node.results(line) if dcmread(r.path).SOPInstanceUID == uid]
    return stored_masks(path)


def test_highdicom_reads_the_report(answered: Answered) -> None:
    content = srread(answered.report).content
    assert content.get_image_measurement_groups()
    assert len(content.get_planar_roi_measurement_groups()) >= 3
    record(source=answered.name, object="SR", profile=PROFILE, reader="highdicom srread")


def test_dcmqi_reads_the_report(answered: Answered, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    done = run(program("tid1500reader"), "--inputDICOM", answered.report, "--outputMetadata", out)
    assert done.returncode == 0, done.stderr
    groups = {group["TrackingIdentifier"]: group for group in json.loads(out.read_text())["Measurements"]}
    (ratio,) = [group for name, group in groups.items() if name.startswith("Cardiothoracic ratio")]
    assert 0.3 < float(ratio["measurementItems"][0]["value"]) < 0.7
    record(source=answered.name, object="SR", profile=PROFILE, reader="dcmqi tid1500reader")


def test_dsrdump_reads_the_report_without_a_warning(answered: Answered) -> None:
    done = run(program("dsrdump"), answered.report)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Cardiothoracic ratio" in done.stdout
    record(source=answered.name, object="SR", profile=PROFILE, reader="DCMTK dsrdump")


@pytest.mark.parametrize("kind", ["SEG", "SR"])
def test_dciodvfy_finds_no_error(answered: Answered, kind: str) -> None:
    dciodvfy = program("dciodvfy")
    for path in answered.of(kind):
        said = run(dciodvfy, "-new", path).stderr.splitlines()
        assert [line for line in said if line.startswith("Error")] == []
    record(source=answered.name, object=kind, profile=PROFILE, reader="dciodvfy")


def test_dcm2json_reads_the_report(answered: Answered) -> None:
    done = run(program("dcm2json"), answered.report)
    assert done.returncode == 0, done.stderr
    assert "Cardiothoracic ratio" in done.stdout
    assert json.loads(done.stdout)["00080060"]["Value"] == ["SR"]
    record(source=answered.name, object="SR", profile=PROFILE, reader="DCMTK dcm2json")
