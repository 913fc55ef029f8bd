"""Who is let in, and the exact words for the others."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.dimse.scp import pdu
from node.dimse.scp.admission import Lack, Places, Policy, Rejection, Request, admit, is_allowed

POLICY = Policy(
    ae_title="HILUM",
    allowed_calling_ae_titles=frozenset({"ROUTER"}),
    allowed_networks=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
    certificates={},
    minimum_free_bytes=1000,
)
REQUEST = Request(calling_ae_title="ROUTER", called_ae_title="HILUM", peer_address="10.1.2.3")


def test_a_known_peer_is_let_in() -> None:
    assert admit(REQUEST, POLICY) is None


@pytest.mark.parametrize(
    ("change", "expected", "words"),
    [
        ({"peer_address": "192.0.2.1"}, Rejection.PEER_ADDRESS, (1, 1, 1)),
        ({"calling_ae_title": "STRANGER"}, Rejection.CALLING_AE_TITLE, (1, 1, 3)),
        ({"called_ae_title": "OTHER"}, Rejection.CALLED_AE_TITLE, (1, 1, 7)),
        ({"protocol_version": 2}, Rejection.PROTOCOL_VERSION, (1, 2, 2)),
    ],
)
def test_permanent_rejections(change: dict[str, str], expected: Rejection, words: tuple[int, int, int]) -> None:
    rejection = admit(replace(REQUEST, **change), POLICY)
    assert rejection is expected
    assert (rejection.value.result, rejection.value.source, rejection.value.reason) == words


def test_of_all_places_one_address_has_its_share() -> None:
    places = Places(4, share=0.7)
    assert [places.take("a") for _ in range(4)] == [None, None, None, Lack.SHARE]
    assert [places.take("b"), places.take("b")] == [None, Lack.ALL]
    places.give_back("a")
    assert [places.take("b"), places.take("a")] == [None, Lack.ALL]


@pytest.mark.parametrize("total", [1, 2, 25])
def test_every_share_is_at_least_one_place_and_a_whole_one_is_all(total: int) -> None:
    assert Places(total, share=0.01).take("a") is None
    places = Places(total, share=1.0)
    assert [places.take("a") for _ in range(total + 1)] == [None] * total + [Lack.ALL]


def test_a_title_is_only_for_its_certificates() -> None:
    policy = replace(POLICY, certificates={"ROUTER": frozenset({"CN=router", "dns:router"})})
    for names, expected in (
        ({"CN=router", "sha256:0"}, None),
        ({"dns:router"}, None),
        ({"CN=other"}, Rejection.CERTIFICATE),
        (set(), Rejection.CERTIFICATE),
    ):
        assert admit(replace(REQUEST, certificate=frozenset(names)), policy) is expected
    others = replace(policy, allowed_calling_ae_titles=frozenset())
    unlisted = replace(REQUEST, calling_ae_title="PACS", certificate=frozenset({"CN=router"}))
    assert admit(unlisted, others) is Rejection.CERTIFICATE
    assert Rejection.CERTIFICATE.value.reason == 3


def test_an_empty_list_of_calling_titles_lets_every_title_in() -> None:
    policy = replace(POLICY, allowed_calling_ae_titles=frozenset())
    assert admit(replace(REQUEST, calling_ae_title="ANY"), policy) is None


@pytest.mark.parametrize("allowed", [frozenset(), frozenset({"ROUTER", ""})])
def test_a_blank_title_is_never_let_in(allowed: frozenset[str]) -> None:
    policy = replace(POLICY, allowed_calling_ae_titles=allowed)
    assert admit(replace(REQUEST, calling_ae_title=""), policy) is Rejection.CALLING_AE_TITLE
    assert admit(replace(REQUEST, called_ae_title=""), policy) is Rejection.CALLED_AE_TITLE


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.255.0.1", True),
        ("11.0.0.1", False),
        ("::ffff:10.0.0.1", True),
        ("fd12::1", True),
        ("fe80::1%eth0", False),
        ("not an address", False),
        ("", False),
    ],
)
def test_addresses(address: str, expected: bool) -> None:
    assert is_allowed(address, POLICY.allowed_networks) is expected


@given(st.text(max_size=16), st.text(max_size=16))
def test_admission_always_answers(calling: str, called: str) -> None:
    answer = admit(replace(REQUEST, calling_ae_title=calling, called_ae_title=called), POLICY)
    assert answer is None or answer in Rejection


def test_each_rejection_is_the_pdu_of_the_standard() -> None:
    for rejection in Rejection:
        encoded = pdu.reject(rejection.value)
        refusal = rejection.value
        assert encoded[:7] == b"\x03\x00\x00\x00\x00\x04\x00"
        assert tuple(encoded[7:]) == (refusal.result, refusal.source, refusal.reason)
