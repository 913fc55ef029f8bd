"""TLS with certificates on both sides (PS3.15 section B.12)."""

from __future__ import annotations

import gc
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from sqlalchemy import select
from structlog.testing import capture_logs

from node import conformance, tls
from node.db import audit, studies
from node.db.engine import Database
from node.db.tables import AssociationRow
from node.delivery.certificates import certificate_name
from node.delivery.destinations import Destination, TLSFiles
from node.delivery.outcome import OutgoingFile
from node.dimse.archive import reserved_port
from node.dimse.scu import storage
from node.errors import Misconfigured, PeerUnavailable
from node.settings import Settings
from node.spool.store import Spool
from tests.support.data.radiographs import radiograph, write
from tests.support.peers import certificates, servers, wire
from tests.support.waiting import wait_for

# pynetdicom does not close a socket whose TLS handshake has failed; the garbage collector does.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect such sockets before another test gets the blame."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def authority(tmp_path: Path) -> certificates.Authority:
    return certificates.authority(tmp_path / "pki")


@pytest.fixture
def settings(tmp_path: Path, authority: certificates.Authority) -> Settings:
    return Settings(
        home=tmp_path / "home",
        receiver={"port": 0, "processes": 1, "tls": authority.issue("node"), "association_timeout_s": 2},
        spool={"minimum_free_bytes": 0},
    )


def destination(port: int, files: TLSFiles, *, host: str = "127.0.0.1") -> Destination:
    return Destination(ae_title="HILUM", host=host, port=port, tls=files)


def send(to: Destination, path: Path) -> int | None:
    ds = radiograph()
    write(path, ds)
    (outcome,) = storage.send(
        to,
        [OutgoingFile(ds.SOPClassUID, ds.SOPInstanceUID, path)],
        calling_ae_title="ROUTER",
        connect_timeout_s=10,
        response_timeout_s=10,
    )
    return outcome.status


def test_both_sides_show_certificates(settings: Settings, authority: certificates.Authority, tmp_path: Path) -> None:
    with servers.hilum(settings) as port:
        assert send(destination(port, authority.issue("router")), tmp_path / "x.dcm") == 0x0000
    spool = Spool(settings.home / "spool")
    (folder,) = wait_for(lambda: [f for f in spool.incoming.arrivals() if f.outcome], what="arrival")
    assert folder.info.tls_subject == "CN=router"
    assert len(folder.files) == 1


def test_storescu_with_tls(settings: Settings, authority: certificates.Authority, tmp_path: Path) -> None:
    router = authority.issue("router")
    path = write(tmp_path / "x.dcm", radiograph())
    with servers.hilum(settings) as port:
        servers.storescu(port, [path], "+tls", str(router.key), str(router.certificate), "+cf", str(authority.path))


def test_a_stranger_s_certificate_is_refused(
    settings: Settings, authority: certificates.Authority, tmp_path: Path
) -> None:
    foreign = certificates.authority(tmp_path / "foreign").issue("router")
    mixed = TLSFiles(certificate=foreign.certificate, key=foreign.key, ca=authority.path)
    with servers.hilum(settings) as port, pytest.raises(PeerUnavailable):
        send(destination(port, mixed), tmp_path / "x.dcm")
    assert list(Spool(settings.home / "spool").incoming.arrivals()) == []


def client(authority: certificates.Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.path))
    assert context.check_hostname
    return context


def exchange(port: int, context: ssl.SSLContext) -> bytes:
    """Associate over TLS, and give back what came."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(wire.request_pdu((wire.CR, [wire.EXPLICIT])))
        return connection.recv(6)


def test_a_client_without_certificate_is_refused(settings: Settings, authority: certificates.Authority) -> None:
    with servers.hilum(settings) as port, pytest.raises((ssl.SSLError, ConnectionResetError)):
        exchange(port, client(authority))


def test_old_versions_and_weak_ciphers_are_refused(settings: Settings, authority: certificates.Authority) -> None:
    with servers.hilum(settings) as port:
        router = authority.issue("router")
        for change in ("version", "cipher"):
            context = client(authority)
            context.load_cert_chain(str(router.certificate), str(router.key))
            if change == "version":
                with pytest.warns(DeprecationWarning):
                    context.minimum_version = ssl.TLSVersion.TLSv1
                    context.maximum_version = ssl.TLSVersion.TLSv1_1
                context.set_ciphers("ALL:@SECLEVEL=0")
            else:
                context.maximum_version = ssl.TLSVersion.TLSv1_2
                context.set_ciphers("ECDHE-ECDSA-AES128-SHA256")
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                exchange(port, context)
        context = client(authority)
        context.load_cert_chain(str(router.certificate), str(router.key))
        assert exchange(port, context)[0] == 2


def test_plain_dicom_to_the_tls_port_is_dropped(settings: Settings) -> None:
    with servers.hilum(settings) as port, wire.connect(port) as peer:
        peer.send(wire.request_pdu((wire.CR, [wire.EXPLICIT])))
        answer = peer.pdu()
        assert answer == b"" or answer[0] == 21  # closed, or a TLS alert


def test_a_stalled_handshake_holds_up_nobody_and_is_dropped(
    settings: Settings, authority: certificates.Authority, tmp_path: Path
) -> None:
    with servers.hilum(settings) as port, wire.connect(port) as stalled:
        begun = time.monotonic()
        assert send(destination(port, authority.issue("router")), tmp_path / "x.dcm") == 0x0000
        assert time.monotonic() - begun < 1.9
        assert stalled.closed()


@contextmanager
def associated(settings: Settings, authority: certificates.Authority, **receiver: float) -> Iterator[wire.Wire]:
    """Run the receiver with some settings changed, and open an association to it over TLS."""
    changed = settings.receiver.model_copy(update=receiver)
    context = client(authority)
    router = authority.issue("router")
    context.load_cert_chain(str(router.certificate), str(router.key))
    with (
        servers.hilum(settings.model_copy(update={"receiver": changed})) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        peer = wire.Wire(connection)
        assert peer.associate()[0] == 2
        yield peer


def test_silence_over_tls_is_aborted(settings: Settings, authority: certificates.Authority) -> None:
    with associated(settings, authority, network_timeout_s=0.3) as peer:
        peer.send(wire.p_data(wire.command_set(), command=True), wire.p_data(bytes(1000), last=False))
        assert peer.pdu()[0] == 7


def test_an_object_that_drips_over_tls_is_aborted(settings: Settings, authority: certificates.Authority) -> None:
    with associated(settings, authority, dimse_timeout_s=0.3) as peer:
        peer.send(wire.p_data(wire.command_set(), command=True))
        begun = time.monotonic()
        with pytest.raises((BrokenPipeError, ConnectionResetError, ssl.SSLError)):
            while time.monotonic() < begun + 10:
                peer.send(wire.p_data(b"x", last=False))
                threading.Event().wait(0.02)
        assert time.monotonic() < begun + 5


def test_the_sender_checks_the_receiver(settings: Settings, authority: certificates.Authority, tmp_path: Path) -> None:
    foreign = certificates.authority(tmp_path / "foreign")
    router = authority.issue("router")
    with servers.hilum(settings) as port:
        with pytest.raises(PeerUnavailable):  # its certificate is not from the authority that is trusted
            files = TLSFiles(certificate=router.certificate, key=router.key, ca=foreign.path)
            send(destination(port, files), tmp_path / "x.dcm")
        with pytest.raises(PeerUnavailable):  # its certificate names another host
            send(destination(port, router, host="127.0.0.3"), tmp_path / "x.dcm")


def test_the_profile_is_the_one_that_the_statement_names(authority: certificates.Authority) -> None:
    """PS3.15 section B.12: TLS 1.2 must, 1.3 may be; RFC 9325: forward secrecy and authenticated encryption."""
    assert f"{tls.PROFILE} (PS3.15 section B.12)" in " ".join(conformance.statement().split())
    files = authority.issue("node")
    for context in (tls.server_context(files), tls.client_context(files)):
        assert context is not None
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert context.maximum_version is ssl.TLSVersion.MAXIMUM_SUPPORTED
        suites = context.get_ciphers()
        assert {suite["protocol"] for suite in suites} == {"TLSv1.2", "TLSv1.3"}
        for suite in suites:
            assert suite["aead"]
            assert suite["protocol"] == "TLSv1.3" or suite["kea"] == "kx-ecdhe"
        assert not any("CCM" in suite["name"] for suite in suites), "else the profile of section B.13 may hold"


def test_unusable_files_are_said(authority: certificates.Authority, tmp_path: Path) -> None:
    good = authority.issue("node")
    (tmp_path / "junk.pem").write_text("junk")
    for bad in (tmp_path / "missing.pem", tmp_path / "junk.pem"):
        for files in (
            TLSFiles(certificate=bad, key=good.key, ca=good.ca),
            TLSFiles(certificate=good.certificate, key=good.key, ca=bad),
        ):
            with pytest.raises(Misconfigured, match=bad.name):
                tls.server_context(files)
    assert tls.server_context(TLSFiles()) is None


def test_an_encrypted_key_is_said_and_nobody_is_asked_for_its_password(
    authority: certificates.Authority, tmp_path: Path
) -> None:
    files = authority.issue("locked")
    assert files.key is not None
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    encrypted = serialization.BestAvailableEncryption(b"secret")
    files.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encrypted))
    with reserved_port() as port, pytest.raises(Misconfigured, match=r"locked\.key"):
        send(destination(port, files), tmp_path / "x.dcm")


def test_a_probe_of_the_tls_port_is_no_news(settings: Settings) -> None:
    with capture_logs() as logs, servers.hilum(settings) as port:
        socket.create_connection(("127.0.0.1", port)).close()
        wait_for(lambda: logs, what="a line in the log")
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("connection.probe", "debug")]


def bound(settings: Settings, **certificates_of: list[str]) -> Settings:
    """Give settings that bind calling AE titles to certificates."""
    receiver = settings.receiver.model_dump() | {"peer_certificates": certificates_of}
    return Settings(home=settings.home, receiver=receiver, spool=settings.spool.model_dump())


def answer(port: int, authority: certificates.Authority, files: TLSFiles) -> bytes:
    """Ask for an association as ROUTER with a certificate, and give back the answer.

    Not by pynetdicom, which on a busy machine sometimes takes a rejection over TLS for no answer.
    """
    context = client(authority)
    context.load_cert_chain(str(files.certificate), str(files.key))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(wire.request_pdu((wire.CR, [wire.EXPLICIT])))
        return wire.Wire(connection).pdu()


def fingerprint(files: TLSFiles) -> str:
    assert files.certificate is not None
    return x509.load_pem_x509_certificate(files.certificate.read_bytes()).fingerprint(hashes.SHA256()).hex(":").upper()


@pytest.mark.parametrize("by", ["subject", "dns", "ip", "sha256"])
def test_a_title_is_used_by_its_own_certificate_only(
    settings: Settings, authority: certificates.Authority, tmp_path: Path, by: str
) -> None:
    """Every certificate of the authority could use every title."""
    router, other = authority.issue("router"), authority.issue("other", names=["other.example.org"])
    named = {
        "subject": "CN=router",
        "dns": "DNS:LocalHost",
        "ip": "IP:127.0.0.1",
        "sha256": f"SHA256:{fingerprint(router)}",
    }
    with capture_logs() as logs, servers.hilum(bound(settings, ROUTER=["CN=spare", named[by]])) as port:
        assert tuple(answer(port, authority, other)) == (3, 0, 0, 0, 0, 4, 0, 1, 1, 3)
        assert send(destination(port, router), tmp_path / "x.dcm") == 0x0000
        wait_for(lambda: [e for e in logs if e["event"] == "association.ended"], what="the end")
    rejected = next(entry for entry in logs if entry["event"] == "association.rejected")
    assert (rejected["tls_subject"], rejected["calling_ae_title"]) == ("CN=other", "ROUTER")
    assert "certificate" in rejected["why"]
    assert next(e for e in logs if e["event"] == "association.ended")["tls_subject"] == "CN=router"


def test_a_title_that_has_no_certificate_is_refused(settings: Settings, authority: certificates.Authority) -> None:
    with servers.hilum(bound(settings, PACS=["CN=router"])) as port:
        assert tuple(answer(port, authority, authority.issue("router")))[-3:] == (1, 1, 3)


def test_the_subject_of_the_certificate_reaches_rows_and_audit(
    settings: Settings, authority: certificates.Authority, tmp_path: Path
) -> None:
    with servers.hilum(settings) as port:
        assert send(destination(port, authority.issue("router")), tmp_path / "x.dcm") == 0x0000
    spool = Spool(settings.home / "spool")
    (folder,) = wait_for(lambda: [f for f in spool.incoming.arrivals() if f.outcome], what="arrival")
    database = Database(f"sqlite:///{tmp_path / 'hilum.db'}", actor="test")
    database.migrate()
    with database.write() as tx:
        studies.record_association(tx, folder.info, folder.outcome)
    with database.read() as session:
        assert session.scalars(select(AssociationRow.tls_subject)).all() == ["CN=router"]
        (event,) = audit.events(session)
    assert event.detail["tls_subject"] == "CN=router"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CN=router, O=Hospital", "CN=router,O=Hospital"),
        ("CN=a\\, b,O=c", "CN=a\\, b,O=c"),
        ("dns:Router.Example.org", "dns:router.example.org"),
        ("IP:FD00:0::1", "ip:fd00::1"),
        ("URI:https://a.example/X", "uri:https://a.example/X"),
        ("sha256:" + "AB:" * 31 + "AB", "sha256:" + "ab" * 32),
        ("router", None),
        ("sha256:12", None),
        ("IP:router", None),
        ("", None),
    ],
)
def test_names_of_certificates_are_compared_in_one_form(name: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match=r"expected|address"):
            certificate_name(name)
    else:
        assert certificate_name(name) == certificate_name(expected) == expected


def test_certificates_without_tls_are_no_settings() -> None:
    with pytest.raises(ValueError, match="nobody shows one"):
        Settings(receiver={"peer_certificates": {"ROUTER": ["CN=router"]}})


def test_an_archive_that_reports_must_have_its_certificate(settings: Settings) -> None:
    to = {"ae_title": "PACS", "host": "localhost", "port": 104, "commitment": {"ask": True}}
    receiver = settings.receiver.model_dump() | {"peer_certificates": {"ROUTER": ["CN=router"]}}
    with pytest.raises(ValueError, match=r"not in receiver\.peer_certificates"):
        Settings(receiver=receiver, destinations={"pacs": to})


def test_a_handshake_that_fails_says_why(settings: Settings, authority: certificates.Authority) -> None:
    with capture_logs() as logs, servers.hilum(settings) as port:
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            exchange(port, client(authority))
        line = wait_for(lambda: [e for e in logs if e["event"] == "connection.tls_failed"], what="the line")[0]
    assert "did not return a certificate" in line["why"]
