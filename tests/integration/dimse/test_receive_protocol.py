"""What a sender may say, and what is aborted with the reason of the Standard (PS3.8 section 9.3.8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.spool.incoming import AssociationOutcome
from node.spool.store import Spool
from tests.support.peers import wire
from tests.support.peers.receiving import closed_arrivals, serving, settings_with, unfinished


@pytest.mark.parametrize("uid", ["../../etc/passwd", "/tmp/x", "1.2.3\\4", "a", "", "1" * 70, "1.2\n3"])  # noqa: S108
def test_an_announced_uid_that_is_none_is_refused(tmp_path: Path, uid: str) -> None:
    settings = settings_with(tmp_path)
    with serving(settings) as port, wire.connect(port) as peer:
        peer.associate()
        assert peer.store(b"data", instance=uid) == 0x0117
        assert peer.store(b"data", instance="..") == 0x0000  # digits and dots: the intake judges it
        assert peer.release()
    (folder,) = closed_arrivals(settings)
    assert [f.name for f in folder.files] == ["000001.dcm"]


def test_another_sop_class_than_that_of_the_context_is_refused(tmp_path: Path) -> None:
    with serving(settings_with(tmp_path)) as port, wire.connect(port) as peer:
        peer.associate()
        assert peer.store(b"data", sop_class=wire.DX) == 0x0122


def test_a_store_without_data_set_and_an_unknown_command_are_answered(tmp_path: Path) -> None:
    with serving(settings_with(tmp_path)) as port, wire.connect(port) as peer:
        peer.associate()
        peer.send(wire.p_data(wire.command_set(data=False), command=True))
        assert peer.status() == 0xC000
        peer.send(wire.p_data(wire.command_set(0x0020), command=True), wire.p_data(b"query"))
        assert peer.status() == 0x0211
        peer.send(
            wire.p_data(wire.command_set(0x0030, data=False, sop_class=wire.VERIFICATION), command=True, context_id=3)
        )
        assert peer.status() == 0x0000
        assert peer.release()


def test_the_same_object_twice_is_one_object_in_the_spool(tmp_path: Path) -> None:
    settings = settings_with(tmp_path)
    with serving(settings) as port, wire.connect(port) as peer:
        peer.associate()
        assert peer.store(b"same") == peer.store(b"same") == 0x0000
        assert peer.release()
    spool = Spool(settings.home / "spool")
    (folder,) = closed_arrivals(settings)
    assert len(folder.files) == 2
    assert len({spool.keep(file).path for file in folder.files}) == 1


def test_fragments_may_be_cut_anywhere(tmp_path: Path) -> None:
    settings = settings_with(tmp_path)
    content = bytes(range(256)) * 3000
    command = wire.command_set()
    stream = wire.p_data(command[:7], command=True, last=False) + wire.p_data(command[7:], command=True)
    for start in range(0, len(content), 100_003):
        stream += wire.p_data(content[start : start + 100_003], last=start + 100_003 >= len(content))
    with serving(settings) as port, wire.connect(port) as peer:
        peer.associate()
        for start in range(0, len(stream), 70_001):
            peer.send(stream[start : start + 70_001])
        assert peer.status() == 0x0000
        peer.send(wire.p_data(command, command=True, last=False), wire.p_data(b"", command=True))
        peer.send(wire.p_data(b"x", last=False), wire.p_data(b""))
        peer.send(wire.p_data(command, command=True) + wire.p_data(b"y"))
        assert (peer.status(), peer.status()) == (0x0000, 0x0000)
        assert peer.release()
    (folder,) = closed_arrivals(settings)
    assert folder.files[0].read_bytes().endswith(content)
    assert [f.read_bytes()[-1:] for f in folder.files[1:]] == [b"x", b"y"]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"\x09\x00\x00\x00\x00\x04\x00\x00\x00\x00", 1),  # unrecognised PDU
        (wire.RELEASE_RP, 2),  # unexpected PDU
        (b"\x05\x00\xff\xff\xff\xff", 2),  # a release of 4 GiB
        (wire.p_data(b"x", context_id=99), 6),
        (wire.p_data(b"x"), 5),  # data set without command
        (wire.p_data(b"\xff" * 20, command=True), 6),
        (wire.p_data(wire.command_set(0x8001, data=False), command=True), 5),
        (b"\x04\x00\x00\x00\x00\x08" + b"\x00\x00\x00\xff\x01\x03ab", 6),  # longer than its PDU
        (b"\x04\x00\x00\x00\x00\x05" + b"\x00\x00\x00\x01\x01", 6),
        (wire.p_data(wire.command_set(), command=True) + wire.RELEASE_RQ, 2),
        (wire.p_data(wire.command_set(), command=True) * 2, 5),
        (wire.p_data(bytes(60_000), command=True, last=False) * 2, 6),
        (wire.p_data(b"\0", command=True, last=False) * 257, 6),
        (wire.p_data(wire.command_set(), command=True) + wire.p_data(b"", last=False) * 257, 6),
        (wire.p_data(b"", last=False), 5),
        (b"\x04\x00\x00\x00\x00\x00", 6),  # P-DATA-TF without a value
    ],
)
def test_a_broken_protocol_is_aborted_with_its_reason(tmp_path: Path, sent: bytes, reason: int) -> None:
    settings = settings_with(tmp_path)
    with serving(settings) as port:
        with wire.connect(port) as peer:
            peer.associate()
            assert peer.store(b"before") == 0x0000
            peer.send(sent)
            assert tuple(peer.pdu()) == (7, 0, 0, 0, 0, 4, 0, 0, 2, reason)
            assert peer.closed()
        assert closed_arrivals(settings)[0].outcome is AssociationOutcome.ABORTED
    assert unfinished(settings) == []


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\n\r\n", wire.RELEASE_RQ, b"\x01\x00\x00\x00\x00\x08rubbish!"],
)
def test_what_is_no_request_is_aborted(tmp_path: Path, sent: bytes) -> None:
    with serving(settings_with(tmp_path)) as port, wire.connect(port) as peer:
        peer.send(sent)
        assert peer.pdu()[0] == 7
        assert peer.closed()
