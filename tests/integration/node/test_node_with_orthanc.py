"""The whole way with real peers: storescu sends, the node analyses, Orthanc holds the results, others read them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from highdicom.seg import segread
from highdicom.sr import srread
from pydicom import dcmread
from pydicom.uid import generate_uid

from models import phantom
from node.reasons import Reason
from tests.support.peers import servers
from tests.support.peers.processes import require
from tests.support.peers.system import RunningNode, dataset_bytes, running_node, study_uid
from tests.support.waiting import wait_for

SEG, SR = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.34"


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Orthanc]:
    with servers.orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, orthanc: servers.Orthanc) -> Iterator[RunningNode]:
    destination = {"ae_title": orthanc.ae_title, "host": "127.0.0.1", "port": orthanc.port}
    with running_node(tmp_path_factory.mktemp("node"), destinations={"orthanc": destination}) as running:
        yield running


@dataclass(frozen=True)
class Held:
    """The results of one study, fetched from Orthanc by REST."""

    seg: list[Path]
    sr: list[Path]


def fetch(orthanc: servers.Orthanc, uid: str, folder: Path) -> Held:
    held = Held([], [])
    for identifier in orthanc.instances():
        with urlopen(f"http://127.0.0.1:{orthanc.http_port}/instances/{identifier}/file", timeout=10) as answer:
            path = folder / f"{identifier}.dcm"
            path.write_bytes(answer.read())
        ds = dcmread(path, stop_before_pixels=True)
        if uid == ds.StudyInstanceUID:
            {SEG: held.seg, SR: held.sr}[str(ds.SOPClassUID)].append(path)
    return held


PROPOSALS = {
    "1.2.840.10008.1.2.4.50": "-xy",
    "1.2.840.10008.1.2.4.70": "-xs",
    "1.2.840.10008.1.2.4.80": "-xt",
    "1.2.840.10008.1.2.4.81": "-xu",
    "1.2.840.10008.1.2.4.90": "-xv",
    "1.2.840.10008.1.2.4.91": "-xw",
    "1.2.840.10008.1.2.5": "-xr",
}
"""What storescu must be told to propose for a compressed file."""


def send(node: RunningNode, *files: Path) -> None:
    syntaxes = {str(dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID) for path in files}
    options = [PROPOSALS[uid] for uid in syntaxes if uid in PROPOSALS]
    servers.storescu(node.settings.receiver.port, files, *options, calling_ae_title="ROUTER")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, errors="replace", timeout=60)


def reasons_of(report: Path) -> set[str]:
    """Return the coded reasons (99HILUM) that an SR gives."""
    found = set()

    def walk(items):
        for item in items:
            for code in item.get("ConceptCodeSequence", ()):
                if code.CodingSchemeDesignator == "99HILUM":
                    found.add(str(code.get("CodeValue") or code.get("LongCodeValue")))
            walk(item.get("ContentSequence", ()))

    walk(dcmread(report).ContentSequence)
    return found


@pytest.fixture(scope="module")
def answered(node, orthanc, tmp_path_factory) -> tuple[phantom.Phantom, Path, Held]:
    """A phantom that went the whole way."""
    folder = tmp_path_factory.mktemp("answered")
    made = phantom.generate(7, rows=1200, columns=1004)
    source = folder / "source.dcm"
    phantom.write(source, made)
    send(node, source)
    line = node.wait_until_ended(study_uid(source))
    assert line.job_state == "done"
    held = fetch(orthanc, study_uid(source), folder)
    assert (len(held.seg), len(held.sr)) == (1, 1)
    return made, source, held


def test_orthanc_holds_what_the_node_stored(node, answered):
    _, source, held = answered
    stored = {str(dcmread(r.path).SOPInstanceUID): r.path for r in node.results(node.study(study_uid(source)))}
    for path in (*held.seg, *held.sr):
        ds = dcmread(path)
        original = stored[str(ds.SOPInstanceUID)]
        assert ds == dcmread(original)
        assert len(dataset_bytes(path)) == pytest.approx(len(dataset_bytes(original)), rel=0.1)


def test_highdicom_reads_masks_that_lie_where_the_phantoms_anatomy_is(answered):
    made, _, held = answered
    seg = segread(held.seg[0])
    truth = {"right": made.right_lung, "left": made.left_lung, "heart": made.heart}
    for number in seg.segment_numbers:
        description = seg.get_segment_description(number)
        (name,) = [key for key in truth if key in description.segment_label.lower()]
        mask = seg.get_total_pixel_matrix(segment_numbers=[number])[..., 0] if seg.is_tiled else None
        if mask is None:
            frames = np.atleast_3d(seg.pixel_array) if seg.pixel_array.ndim == 2 else seg.pixel_array
            mask = frames[list(seg.segment_numbers).index(number)]
        assert mask.shape == made.pixels.shape
        dice = 2 * np.sum(mask.astype(bool) & truth[name]) / (np.sum(mask > 0) + np.sum(truth[name]))
        assert dice > 0.85, (name, dice)
    report = srread(held.sr[0])
    assert report.content.get_image_measurement_groups()


@pytest.mark.parametrize("kind", ["seg", "sr"])
def test_dciodvfy_reports_no_error(answered, kind):
    path = getattr(answered[2], kind)[0]
    outcome = run(require("dciodvfy"), str(path))
    errors = [line for line in (outcome.stdout + outcome.stderr).splitlines() if line.startswith("Error")]
    assert not errors


def test_dsrdump_warns_of_nothing(answered):
    outcome = run(require("dsrdump"), str(answered[2].sr[0]))
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert "Cardiothoracic ratio" in outcome.stdout
    assert "Bounding box of the heart" in outcome.stdout


def test_dcmqi_reads_the_report(answered, tmp_path):
    program = Path(sys.executable).parent / "tid1500reader"
    if not program.exists():
        pytest.skip("tid1500reader is not installed (Python package dcmqi)")
    out = tmp_path / "report.json"
    outcome = run(str(program), "--inputDICOM", str(answered[2].sr[0]), "--outputMetadata", str(out))
    assert outcome.returncode == 0, outcome.stderr
    assert "Cardiothoracic ratio" in out.read_text()


CHESTS = ["chest-cr-monochrome1-jpeg2000.dcm", "chest-siim-sc-jpegbaseline.dcm"]


@pytest.mark.parametrize("name", CHESTS)
def test_a_real_chest_is_outlined_and_measured(node, orthanc, data_folder, tmp_path, name):
    source = data_folder / "dicom" / name
    send(node, source)
    line = node.wait_until_ended(study_uid(source))
    assert line.job_state == "done"
    held = fetch(orthanc, study_uid(source), tmp_path)
    assert held.seg and len(held.sr) == 1
    ds, segs = dcmread(source, stop_before_pixels=True), [dcmread(path) for path in held.seg]
    assert {(seg.Rows, seg.Columns) for seg in segs} == {(ds.Rows, ds.Columns)}
    # A disease may be outlined besides; each structure may have a SEG of its own (`split_segments`).
    labels = {str(segment.SegmentLabel).lower() for seg in segs for segment in seg.SegmentSequence}
    assert labels >= {"right lung", "left lung", "heart"}
    assert "Cardiothoracic ratio" in run(require("dsrdump"), str(held.sr[0])).stdout


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("not-chest-extremity-rle.dcm", {Reason.NOT_THE_CHEST}),
        ("not-chest-hip-jpegls.dcm", {Reason.NOT_THE_CHEST}),
        (
            "not-chest-teeth-cr-modality-lut-jpeglossless.dcm",
            {Reason.NOT_A_CHEST, Reason.LUNGS_IMPLAUSIBLE, Reason.INVALID_UID},
        ),
        ("not-human-dx-lateral-thorax.dcm", {Reason.NOT_HUMAN, Reason.LATERAL_VIEW}),
    ],
)
def test_what_is_no_frontal_chest_is_answered_with_the_reason(node, orthanc, data_folder, tmp_path, name, reasons):
    source = data_folder / "dicom" / name
    send(node, source)
    line = node.wait_until_ended(study_uid(source))
    assert line.job_state == "done"
    held = fetch(orthanc, study_uid(source), tmp_path)
    assert (len(held.seg), len(held.sr)) == (0, 1)
    assert reasons_of(held.sr[0]) & {str(reason) for reason in reasons}


def test_other_bytes_under_a_known_uid_change_nothing(node, orthanc, data_folder, tmp_path):
    """The JPEG-LS near-lossless copy of the first chest carries its own UIDs or the same; both end in a clear state."""
    first = dcmread(data_folder / "dicom" / CHESTS[0], stop_before_pixels=True)
    source = data_folder / "dicom" / "chest-cr-monochrome1-jpegls-near.dcm"
    copy = dcmread(source, stop_before_pixels=True)
    send(node, data_folder / "dicom" / CHESTS[0])
    before = node.wait_until_ended(str(first.StudyInstanceUID))
    send(node, source)
    if copy.SOPInstanceUID == first.SOPInstanceUID:
        from node.db import audit

        def conflict():
            with node.database.read() as tx:
                return [e for e in audit.events(tx) if e.action == "instance.conflict"]

        wait_for(conflict)
        assert node.study(str(first.StudyInstanceUID)).revision == before.revision
    else:
        revision = 2 if copy.StudyInstanceUID == first.StudyInstanceUID else 1
        line = node.wait_until_ended(str(copy.StudyInstanceUID), revision=revision)
        assert line.job_state == "done"


def test_two_images_of_one_study_have_a_seg_each_and_one_report(node, orthanc, tmp_path):
    study = generate_uid()
    files = []
    for seed in (21, 22):
        path = tmp_path / f"{seed}.dcm"
        phantom.write(path, phantom.generate(seed, rows=704, columns=611), study_instance_uid=study)
        files.append(path)
    send(node, *files)
    line = node.wait_until_ended(str(study))
    assert (line.job_state, line.images, line.revision) == ("done", 2, 1)
    held = fetch(orthanc, str(study), tmp_path)
    assert (len(held.seg), len(held.sr)) == (2, 1)


def test_the_trail_tells_who_what_when_and_why(node, answered):
    from node.commands.studies import trail

    line = node.study(study_uid(answered[1]))
    with node.database.read() as tx:
        text = "\n".join(trail(tx, line.id))
    for part in ("ROUTER", "instance.accepted", "reason=released", "job.started", "bundles=", "sha256", "job.done"):
        assert part in text
