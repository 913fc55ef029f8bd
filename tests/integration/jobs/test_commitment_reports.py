"""Reports of storage commitment as bytes: what a hostile or broken archive may send to the receiver."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from node.dimse.reports import MAXIMUM_REPORT_BYTES, UnreadableReport, read_report
from node.spool.commitments import CommitmentTransaction
from tests.support.peers import servers, wire
from tests.support.peers.commitment import Setup, joined
from tests.support.peers.event_reports import encoded, information
from tests.support.peers.pacs import COMMITMENT, COMMITMENT_INSTANCE


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    with joined(tmp_path) as made:
        yield made


def nested(depth: int) -> bytes:
    """Encode Referenced SOP Sequences within each other, of undefined length."""
    head = struct.pack("<HH2sHL", 0x0008, 0x1199, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    return head * depth


def associate(peer: wire.Wire, *, roles: dict[str, tuple[bool, bool]] | None = None, **options: str) -> bytes:
    """Ask for storage commitment as its provider does; the result of the presentation context."""
    peer.send(
        wire.request_pdu(
            (COMMITMENT, [wire.EXPLICIT]),
            calling="PACS",
            roles={COMMITMENT: (False, True)} if roles is None else roles,
            **options,
        )
    )
    return peer.pdu()


def say(peer: wire.Wire, content: bytes, **changes: object) -> int:
    """Send an N-EVENT-REPORT request; the status of the response."""
    options: dict[str, object] = {"sop_class": COMMITMENT, "instance": COMMITMENT_INSTANCE, "event_type": 1} | changes
    peer.send(wire.p_data(wire.command_set(0x0100, **options), command=True))  # type: ignore[arg-type]
    for start in range(0, len(content), 8192):
        last = start + 8192 >= len(content)
        peer.send(wire.p_data(content[start : start + 8192], last=last))
    return peer.status()


def test_what_is_no_report_is_refused_in_the_words_of_the_standard(setup: Setup):
    setup.runtime.spool.commitments.record(CommitmentTransaction("2.25.5", "PACS", ()))
    good = encoded(information())
    both = information()
    both.FailedSOPSequence = both.ReferencedSOPSequence
    cases = [
        ({}, encoded(information("2.25.6")), 0x0115),
        ({}, good.replace(b"2.25.5", b"../../"), 0x0115),
        ({}, good.replace(b"2.25.1", b"../../"), 0x0115),
        ({}, b"\0\0", 0x0115),
        ({}, good[:-5], 0x0115),
        ({}, b"\xff" * 5000, 0x0115),
        ({}, nested(2000), 0x0115),
        ({}, encoded(Dataset()) or b"\0\0", 0x0115),
        ({"event_type": 3}, good, 0x0113),
        ({"event_type": None}, good, 0x0113),
        ({"instance": "1.2.3"}, good, 0x0112),
        ({"sop_class": wire.CR}, good, 0x0122),
        ({}, good + b"\0" * MAXIMUM_REPORT_BYTES, 0x0213),
        ({}, good, 0x0000),
    ]
    for changes, content, status in cases:
        with wire.connect(setup.port) as peer:
            associate(peer)
            assert say(peer, content, **changes) == status, (changes, content[:40])
            assert peer.release()
    assert [path.name for path in setup.runtime.spool.commitments.reports()] != []
    assert setup.record() == 1, "only the good one was kept"
    setup.runtime.spool.commitments.record(CommitmentTransaction("2.25.5", "PACS", ()))
    assert servers.reachable(servers.Destination(ae_title="HILUM", host="127.0.0.1", port=setup.port))


@pytest.mark.parametrize(
    ("roles", "accepted"),
    [
        ({COMMITMENT: (False, True)}, True),
        ({COMMITMENT: (True, True)}, True),
        ({}, False),
        ({COMMITMENT: (True, False)}, False),
    ],
)
def test_only_a_provider_may_open_an_association_for_commitment(setup: Setup, roles, accepted: bool):
    from pynetdicom.pdu import A_ASSOCIATE_AC

    with wire.connect(setup.port) as peer:
        pdu = A_ASSOCIATE_AC()
        pdu.decode(associate(peer, roles=roles))
        (context,) = pdu.presentation_context
        assert (context.result == 0) is accepted
        granted = [(item.scu_role, item.scp_role) for item in pdu.user_information.role_selection.values()]
        assert granted == ([(0, 1)] if accepted else [])


def test_nothing_else_goes_over_a_context_for_commitment(setup: Setup):
    with wire.connect(setup.port) as peer:
        associate(peer)
        for operation, status in ((0x0130, 0x0211), (0x0030, 0x0122), (0x0001, 0x0122)):
            command = wire.command_set(operation, sop_class=COMMITMENT, instance=COMMITMENT_INSTANCE, data=False)
            peer.send(wire.p_data(command, command=True))
            assert peer.status() == status
        assert peer.release()


@given(st.binary(max_size=300), st.sampled_from([wire.EXPLICIT, wire.IMPLICIT]))
def test_hostile_reports_raise_nothing_but_unreadable(content: bytes, syntax: str):
    try:
        found = read_report(content, syntax)
    except UnreadableReport:
        return
    assert found.committed or found.failed


@given(st.integers(0, 200), st.integers(0, 255))
def test_mutated_reports_hold_nothing_but_uids(position: int, value: int):
    content = bytearray(encoded(information()))
    content[position % len(content)] = value
    try:
        found = read_report(bytes(content), wire.EXPLICIT)
    except UnreadableReport:
        return
    assert set(found.transaction_uid) <= set("0123456789.")
