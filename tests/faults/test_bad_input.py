"""Bad objects on a running node: each ends in a clear state, and the good image beside it is answered as ever."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, config, dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, generate_uid
from sqlalchemy import select

from node.db.tables import InstanceRow
from node.delivery.outcome import OutgoingFile
from node.dicom.part10 import encode_meta, read_meta
from node.dimse.scu import storage
from node.dispatch import embedded
from node.reasons import Reason
from node.spool.store import Spool
from tests.support.peers.pacs import SEG, SR, FakePACS
from tests.support.peers.system import RunningNode, phantom_file, running_node, study_uid
from tests.support.results.encoded import answers
from tests.support.waiting import wait_for


@dataclass(frozen=True)
class BadObject:
    """How to spoil an object, and what must become of it."""

    spoil: Callable[[Dataset], None] | None = None
    damage: Callable[[bytes], bytes] | None = None
    state: str = "quarantined"
    reasons: tuple[Reason, ...] = (Reason.MALFORMED,)


def setter(**values: object) -> Callable[[Dataset], None]:
    def spoil(ds: Dataset) -> None:
        for keyword, value in values.items():
            setattr(ds, keyword, value)

    return spoil


def deleter(keyword: str) -> Callable[[Dataset], None]:
    return lambda ds: delattr(ds, keyword)


def without_pixels(ds: Dataset) -> None:
    del ds.PixelData


def two_frames(ds: Dataset) -> None:
    ds.NumberOfFrames = 2
    ds.PixelData = 2 * ds.PixelData


def claims_jpeg_2000(data: bytes) -> bytes:
    """Announce JPEG 2000 in the File Meta Information, in front of uncompressed pixels."""
    file = BytesIO(data)
    meta = read_meta(file)
    return (
        encode_meta(
            sop_class_uid=str(meta.sop_class_uid),
            sop_instance_uid=str(meta.sop_instance_uid),
            transfer_syntax_uid=JPEG2000Lossless,
            source_ae_title="ROUTER",
        )
        + file.read()
    )


def wrong_length_of_rows(data: bytes) -> bytes:
    """Give Rows (0028,0010) a length that runs over the elements behind it."""
    place = data.index(b"\x28\x00\x10\x00US")
    return data[: place + 6] + struct.pack("<H", 0xFFF0) + data[place + 8 :]


BAD = {
    "truncated": BadObject(damage=lambda data: data[: len(data) // 2], reasons=(Reason.TRUNCATED,)),
    "wrong length": BadObject(damage=wrong_length_of_rows, reasons=(Reason.MALFORMED, Reason.TRUNCATED)),
    "no pixel data": BadObject(spoil=without_pixels, reasons=(Reason.NO_PIXEL_DATA,)),
    "absurd rows": BadObject(spoil=setter(Rows=65535, Columns=65535), reasons=(Reason.ABSURD_GEOMETRY,)),
    "no columns": BadObject(spoil=setter(Columns=0), reasons=(Reason.ABSURD_GEOMETRY,)),
    "not the pixels announced": BadObject(spoil=setter(Rows=700), reasons=(Reason.TRUNCATED, Reason.MALFORMED)),
    "path-like UID": BadObject(spoil=setter(SeriesInstanceUID="../../../../etc/passwd"), reasons=(Reason.INVALID_UID,)),
    "wrong transfer syntax": BadObject(
        damage=claims_jpeg_2000, reasons=(Reason.TRANSFER_SYNTAX, Reason.MALFORMED, Reason.TRUNCATED)
    ),
    "multi-frame": BadObject(spoil=two_frames, state="declined", reasons=(Reason.MULTI_FRAME,)),
    "lateral": BadObject(spoil=setter(ViewPosition="LL"), state="declined", reasons=(Reason.LATERAL_VIEW,)),
    "hand": BadObject(
        spoil=setter(BodyPartExamined="HAND", AnatomicRegionSequence=None),
        state="declined",
        reasons=(Reason.NOT_THE_CHEST,),
    ),
}


@pytest.fixture(scope="module")
def pacs() -> Iterator[FakePACS]:
    with FakePACS() as running:
        yield running


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: FakePACS) -> Iterator[RunningNode]:
    with running_node(tmp_path_factory.mktemp("node"), destinations={"pacs": pacs.destination}) as running:
        yield running


def spoiled(good: Path, bad: BadObject, path: Path) -> OutgoingFile:
    """Write a second image of the same study, spoiled; announced with the UIDs that it should have had."""
    ds = dcmread(good)
    uid = generate_uid(entropy_srcs=[path.name, str(good)])
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid
    with config.disable_value_validation():
        if bad.spoil is not None:
            bad.spoil(ds)
        ds.save_as(path)
    if bad.damage is not None:
        data = path.read_bytes()
        path.write_bytes(bad.damage(data))
    return OutgoingFile(str(ds.file_meta.MediaStorageSOPClassUID), str(uid), path)


def instance(node: RunningNode, uid: str) -> InstanceRow | None:
    with node.database.read() as tx:
        return tx.scalar(select(InstanceRow).where(InstanceRow.sop_instance_uid == uid))


def newest_bad(node: RunningNode, state: str, after: int) -> InstanceRow | None:
    with node.database.read() as tx:
        return tx.scalar(select(InstanceRow).where(InstanceRow.state == state, InstanceRow.id > after))


def last_id(node: RunningNode) -> int:
    with node.database.read() as tx:
        return max(tx.scalars(select(InstanceRow.id)), default=0)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_quarantined_and_the_good_one_beside_it_is_answered(name, node, pacs, tmp_path):
    bad = BAD[name]
    good = phantom_file(tmp_path, 200 + list(BAD).index(name))
    before = last_id(node)
    files = [
        spoiled(good, bad, tmp_path / "bad.dcm"),
        OutgoingFile(*_uids(good), good),
    ]
    outcomes = storage.send(node.address, files, calling_ae_title="ROUTER", connect_timeout_s=10, response_timeout_s=30)
    assert [outcome.status for outcome in outcomes] == [0x0000, 0x0000]
    row = wait_for(lambda: newest_bad(node, bad.state, before), what=f"the bad object is {bad.state}")
    assert row.reason in bad.reasons, (row.reason, row.detail)
    assert row.detail
    assert Spool(node.settings.home / "spool").received_path(row.digest).exists(), "its bytes are kept"
    line = node.wait_until_ended(study_uid(good))
    assert line.job_state == "done"
    assert len(pacs.distinct(study_uid(good), SEG)) == 1
    assert len(pacs.distinct(study_uid(good), SR)) == 1


@pytest.mark.parametrize("name", ["no pixel data", "multi-frame", "lateral", "absurd rows"])
def test_a_study_of_nothing_but_a_bad_image_is_answered_with_the_reason(name, node, pacs, tmp_path):
    good = phantom_file(tmp_path, 300 + list(BAD).index(name))
    file = spoiled(good, BAD[name], tmp_path / "bad.dcm")
    storage.send(node.address, [file], calling_ae_title="ROUTER", connect_timeout_s=10, response_timeout_s=30)
    line = node.wait_until_ended(study_uid(good))
    assert line.job_state == "done"
    (result,) = node.results(line)
    assert result.kind == "SR"
    report = dcmread(result.path)
    codes = {
        item.ConceptCodeSequence[0].get("CodeValue") or item.ConceptCodeSequence[0].LongCodeValue
        for _, item in _content(report)
        if item.get("ConceptCodeSequence") and item.ConceptCodeSequence[0].CodingSchemeDesignator == "99HILUM"
    }
    assert codes & {str(reason) for reason in BAD[name].reasons}, codes


def test_undecodable_pixels_are_quarantined_by_the_worker_and_answered(node, pacs, tmp_path):
    good = phantom_file(tmp_path, 320)
    path = tmp_path / "undecodable.dcm"
    ds = dcmread(good)
    ds.compress("1.2.840.10008.1.2.5")
    whole = ds.PixelData
    ds.PixelData = whole[:200] + bytes(len(whole) - 208) + whole[-8:]
    ds.save_as(path)
    node.send([path])
    line = node.wait_until_ended(study_uid(path), timeout_s=60)
    assert line.job_state == "done"
    row = instance(node, str(ds.SOPInstanceUID))
    if row.state == "accepted":
        pytest.fail("damaged RLE was analysed as if it were an image")
    assert row.reason in (Reason.UNDECODABLE, Reason.MALFORMED, Reason.TRUNCATED)
    assert [result.kind for result in node.results(line)] == ["SR"]


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        (None, ""),
        ("ISO_IR 100", "Müller^Jürgen"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 144", "Люкceмбypг"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
    ],
)
def test_patients_without_a_name_and_with_any_letters_are_answered(character_set, name, node, pacs, tmp_path):
    number = 330 + abs(hash(name)) % 50
    good = phantom_file(tmp_path, number)
    ds = dcmread(good)
    ds.StudyInstanceUID = generate_uid()
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    if character_set is None:
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
            setattr(ds, keyword, "")
    else:
        ds.SpecificCharacterSet = character_set
        ds.PatientName = name
    path = tmp_path / "named.dcm"
    ds.save_as(path)
    node.send([path])
    line = node.wait_until_ended(str(ds.StudyInstanceUID))
    assert line.job_state == "done"
    for result in node.results(line):
        answer = dcmread(result.path)
        assert str(answer.PatientName) == str(dcmread(path).PatientName)
        assert answer.PatientID == ds.PatientID


def test_a_study_that_names_two_patients_is_answered_to_the_first_and_to_nobody_else(node, pacs, tmp_path):
    own, other = phantom_file(tmp_path, 325), phantom_file(tmp_path, 326)
    ds = dcmread(other)
    ds.StudyInstanceUID, ds.PatientID = study_uid(own), "SOMEBODY-ELSE"
    ds.save_as(other)
    node.send([own, other])
    line = node.wait_until_ended(study_uid(own))
    assert line.job_state == "done"
    (result,) = node.results(line)
    sr = dcmread(result.path)
    assert (sr.Modality, sr.PatientID) == ("SR", dcmread(own).PatientID)
    assert len(pacs.distinct(study_uid(own), SR)) == 1
    assert str(Reason.DIFFERENT_PATIENTS) in answers(sr, "REASON")
    assert "SOMEBODY-ELSE" not in node.log_text()


def test_nothing_of_a_patient_is_in_logs_or_in_the_broker(node, pacs, tmp_path):
    """A planted patient goes through, well and badly; then every log and every key of the broker is searched."""
    import redis

    planted = {
        "PatientName": "Planted^Zaphod",
        "PatientID": "PLANTED-ID-4711",
        "PatientBirthDate": "19420301",
        "AccessionNumber": "PLANTEDACC99",
        "ReferringPhysicianName": "Referrer^Planted",
        "InstitutionName": "PLANTED HOSPITAL",
        "StudyDescription": "PLANTED DESCRIPTION",
    }
    seed = 400
    worker = node.child("work-analysis")
    for bad in (None, *[BAD[name] for name in ("truncated", "no pixel data", "path-like UID", "lateral")]):
        seed += 1
        path = phantom_file(tmp_path, seed)
        ds = dcmread(path)
        for keyword, value in planted.items():
            setattr(ds, keyword, value)
        ds.save_as(path)
        file = OutgoingFile(*_uids(path), path) if bad is None else spoiled(path, bad, tmp_path / f"bad-{seed}.dcm")
        storage.send(node.address, [file], calling_ae_title="ROUTER", connect_timeout_s=10, response_timeout_s=30)
        if bad is None:
            node.wait_until_ended(study_uid(path))
    node.wait_until_ended(study_uid(path))
    assert worker.pid
    text = node.log_text()
    assert "job.analysed" in text
    with redis.Redis(unix_socket_path=str(embedded.socket_path(node.settings))) as client:
        for key in client.scan_iter("*"):
            text += repr(key) + repr(client.dump(key))
    from node.db import audit

    with node.database.read() as tx:
        text += "\n".join(repr(event) for event in audit.events(tx))
    for value in planted.values():
        for part in value.split("^"):
            assert part not in text


def _uids(path: Path) -> tuple[str, str]:
    ds = dcmread(path, stop_before_pixels=True)
    assert ds.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    return str(ds.SOPClassUID), str(ds.SOPInstanceUID)


def _content(ds: Dataset) -> Iterator[tuple[int, Dataset]]:
    for number, item in enumerate(ds.get("ContentSequence", ())):
        yield number, item
        yield from _content(item)
