"""Command sets, PDUs, negotiation and statuses: bytes against pynetdicom's, and hostile bytes."""

from __future__ import annotations

import itertools
from importlib.util import find_spec
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynetdicom.dimse_messages import C_STORE_RQ, C_STORE_RSP
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import decode as decode_dataset
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_AC, A_RELEASE_RP
from pynetdicom.pdu_primitives import A_ASSOCIATE, SCP_SCU_RoleSelectionNegotiation

from node.dicom import contexts
from node.dicom.status import STORE_STATUSES, Disposition, Status, disposition_of
from node.dicom.uids import VERIFICATION_SOP_CLASS
from node.dimse.scp import commands, pdu
from node.dimse.scp.negotiation import Context, negotiate
from node.dimse.scp.request import FIXED, printable, read_caller, read_proposal
from tests.support.peers import wire
from tests.support.peers.wire import CR, EXPLICIT, IMPLICIT, J2K, request_pdu


def store_request(**changes: object) -> bytes:
    primitive = C_STORE()
    primitive.MessageID, primitive.Priority = 7, 2
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = CR, "1.2.3"
    primitive.DataSet = BytesIO(b"\0\0")
    for name, value in changes.items():
        setattr(primitive, name, value)
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)
    return b"".join(item.presentation_data_value_list[0][1][1:] for item in list(message.encode_msg(1, 16384))[:1])


def test_a_store_request_of_pynetdicom_is_read() -> None:
    command = commands.decode(store_request())
    assert command == commands.Command(commands.Operation.C_STORE_RQ, 7, True, CR, "1.2.3")


def test_our_response_is_read_by_pynetdicom() -> None:
    request = commands.Command(0x0001, 7, True, CR, "1.2.3")
    encoded = commands.encode_response(request, Status.OUT_OF_RESOURCES, "disk full")
    message = C_STORE_RSP()
    message.command_set = decode_dataset(BytesIO(encoded), True, True)
    primitive = message.message_to_primitive()
    assert primitive.Status == 0xA700
    assert primitive.MessageIDBeingRespondedTo == 7
    assert (primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID) == (CR, "1.2.3")
    assert message.command_set.ErrorComment == "disk full"
    assert message.command_set.CommandGroupLength == len(encoded) - 12


@pytest.mark.parametrize("missing", [1, 7, 8, 9])
def test_a_command_cut_off_in_an_element_is_refused(missing: int) -> None:
    """In its value, at its end or in its header: no other bytes are taken for it."""
    whole = store_request()
    last = len(wire.element(0x1000, b"1.2.3\0"))
    assert commands.decode(whole[:-last]).sop_instance_uid == ""
    with pytest.raises(pdu.ProtocolError) as caught:
        commands.decode(whole[:-missing])
    assert caught.value.reason is pdu.AbortReason.INVALID_PARAMETER


@pytest.mark.parametrize("longer", [1, 2, 1 << 31])
def test_an_element_that_is_longer_than_the_command_set_is_refused(longer: int) -> None:
    content = bytearray(wire.element(0x0100, b"\x01\x00"))
    content[4:8] = (2 + longer).to_bytes(4, "little")
    with pytest.raises(pdu.ProtocolError, match="cannot be"):
        commands.decode(bytes(content))


def test_an_element_of_another_group_is_refused() -> None:
    content = wire.element(0x0100, b"\x01\x00")
    assert commands.decode(content).operation == commands.Operation.C_STORE_RQ
    with pytest.raises(pdu.ProtocolError, match="cannot be"):
        commands.decode(content + b"\x02" + content[1:])


@given(st.binary(max_size=400))
def test_hostile_commands_raise_nothing_but_a_protocol_error(content: bytes) -> None:
    try:
        commands.decode(content)
    except pdu.ProtocolError as error:
        assert error.reason in pdu.AbortReason


@given(st.integers(0, 200), st.integers(0, 255))
def test_mutated_commands_raise_nothing_but_a_protocol_error(position: int, value: int) -> None:
    content = bytearray(store_request())
    content[position % len(content)] = value
    try:
        commands.decode(bytes(content))
    except pdu.ProtocolError as error:
        assert error.reason in pdu.AbortReason


def test_abort_and_release_are_the_pdus_of_the_standard() -> None:
    abort, release = A_ABORT_RQ(), A_RELEASE_RP()
    abort.decode(pdu.abort(pdu.AbortReason.UNEXPECTED_PDU))
    assert (abort.source, abort.reason_diagnostic) == (2, 2)
    assert release.encode() == pdu.RELEASE_RP


def negotiated(content: bytes) -> tuple[dict[int, Context], bytes]:
    items = pdu.HEADER.size + FIXED.size
    caller, proposal = read_caller(content[pdu.HEADER.size : items]), read_proposal(content[items:])
    return negotiate(caller, proposal, contexts.accepted_contexts(), maximum_pdu_bytes=131072)


def answer(content: bytes) -> tuple[dict[int, Context], A_ASSOCIATE]:
    accepted, encoded = negotiated(content)
    response = A_ASSOCIATE_AC()
    response.decode(encoded)
    return accepted, response.to_primitive()


def test_the_senders_first_acceptable_syntax_is_chosen() -> None:
    accepted, primitive = answer(request_pdu((CR, ["1.2.3.4", J2K, EXPLICIT]), (CR, [IMPLICIT])))
    assert accepted == {1: Context(CR, J2K), 3: Context(CR, IMPLICIT)}
    results = primitive.presentation_context_definition_results_list
    assert [(r.context_id, r.result, r.transfer_syntax[0]) for r in results] == [(1, 0, J2K), (3, 0, IMPLICIT)]
    assert primitive.maximum_length_received == 131072


def test_each_refused_context_has_its_reason() -> None:
    ct, scp_only = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.1.1"
    content = request_pdu(
        (ct, [EXPLICIT]), (CR, ["1.2.3.4"]), (scp_only, [EXPLICIT]), roles={scp_only: (False, True), CR: (True, True)}
    )
    accepted, primitive = answer(content)
    assert accepted == {}
    assert [r.result for r in primitive.presentation_context_definition_results_list] == [3, 4, 1]


def test_an_accepted_role_is_confirmed() -> None:
    _, primitive = answer(request_pdu((CR, [EXPLICIT]), roles={CR: (True, False)}))
    roles = [i for i in primitive.user_information if isinstance(i, SCP_SCU_RoleSelectionNegotiation)]
    assert [(str(r.sop_class_uid), r.scu_role, r.scp_role) for r in roles] == [(CR, True, False)]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_mutated_requests_raise_nothing_but_a_protocol_error(data: st.DataObject) -> None:
    content = bytearray(request_pdu((CR, [EXPLICIT, J2K]), (VERIFICATION_SOP_CLASS, [IMPLICIT])))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(pdu.HEADER.size + FIXED.size, len(content)))]
    try:
        negotiated(bytes(content))
    except pdu.ProtocolError as error:
        assert error.reason in pdu.AbortReason


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"ROUTER".ljust(16, b"\0"), "ROUTER"),
        (b"ROUTER \0".ljust(16), "ROUTER"),
        (b"ROUTER\0OLD BYTES", "ROUTER?OLD BYTES"),
        (bytes(16), ""),
        (b" " * 16, ""),
        (b"\xff\\A".ljust(16), "??A"),
    ],
)
def test_title_fields_are_read_whatever_they_hold(field: bytes, expected: str) -> None:
    content = request_pdu((CR, [EXPLICIT]), calling_field=field, called_field=field)
    caller = read_caller(content[pdu.HEADER.size :][: FIXED.size])
    assert (caller.calling_ae_title, caller.called_ae_title) == (expected, expected)


@pytest.mark.parametrize(("title", "expected"), [(" A ", "A"), ("A\nB\\C\x1b", "A?B?C?"), ("../x", "../x"), ("é", "?")])
def test_titles_are_made_fit_for_logs(title: str, expected: str) -> None:
    assert printable(title) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0x0000, Disposition.ACCEPTED),
        (0x0111, Disposition.ACCEPTED),
        (0xB000, Disposition.ACCEPTED),
        (0xB007, Disposition.ACCEPTED),
        (0xA700, Disposition.RETRY),
        (0xA7FF, Disposition.RETRY),
        (0xA900, Disposition.REFUSED),
        (0xC123, Disposition.DOUBTFUL),
        (0x0122, Disposition.DOUBTFUL),
        (0x0124, Disposition.REFUSED),
        (0x0110, Disposition.RETRY),
        (0xFFFF, Disposition.RETRY),
    ],
)
def test_statuses_decide(status: int, expected: Disposition) -> None:
    assert disposition_of(status)[0] is expected


def test_status_ranges_do_not_overlap() -> None:
    rows = sorted(STORE_STATUSES, key=lambda row: row.first)
    assert all(a.last < b.first for a, b in itertools.pairwise(rows))


def test_a_syntax_without_decoder_is_not_accepted() -> None:
    nothing = contexts.accepted_contexts(frozenset())[CR]
    assert nothing == (EXPLICIT, IMPLICIT, "1.2.840.10008.1.2.5")
    assert "1.2.840.10008.1.2.4.51" not in contexts.accepted_contexts()[CR]
    assert "1.2.840.10008.1.2.4.51" in contexts.accepted_contexts({"libjpeg"})[CR]


def test_the_workers_decoders_are_installed_where_the_worker_is() -> None:
    pytest.importorskip("highdicom")
    assert [name for name in contexts.WORKER_DECODERS if find_spec(name) is None] == []
