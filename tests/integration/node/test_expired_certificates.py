"""Certificates that have expired: said as such, whosever they are, where they would be looked for."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from node.cli import Invocation
from node.delivery.destinations import Destination, TLSFiles, WebDestination
from node.dicomweb import stow
from node.dimse.scu import verification
from node.errors import PeerUnavailable
from node.settings import Settings
from tests.support.peers import certificates
from tests.support.peers.pacs import FakePACS

# pynetdicom does not close a socket whose TLS handshake has failed; the garbage collector does.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

PAST = -timedelta(days=2)


@pytest.fixture
def authority(tmp_path: Path) -> certificates.Authority:
    return certificates.authority(tmp_path / "pki")


def echo(pacs: TLSFiles, own: TLSFiles) -> None:
    """Send C-ECHO from a node to an archive, each with its certificate."""
    with FakePACS(tls=pacs) as running:
        destination = Destination.model_validate(running.destination | {"tls": own.model_dump()})
        verification.echo(destination, calling_ae_title="HILUM", timeout_s=5)


def test_an_archive_whose_certificate_has_expired_is_told_as_such(authority: certificates.Authority):
    with pytest.raises(PeerUnavailable, match="shows a certificate that is not accepted: certificate has expired"):
        echo(authority.issue("pacs", lasts=PAST), authority.issue("node"))


def test_an_archive_that_refuses_our_expired_certificate_is_told_as_such(authority: certificates.Authority):
    with pytest.raises(PeerUnavailable, match="refuses this node's certificate or TLS: certificate expired"):
        echo(authority.issue("pacs"), authority.issue("node", lasts=PAST))


def test_an_archive_with_a_good_certificate_answers(authority: certificates.Authority):
    echo(authority.issue("pacs"), authority.issue("node"))


def test_a_service_whose_certificate_has_expired_is_told_as_such(authority: certificates.Authority):
    expired = authority.issue("service", lasts=PAST)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(expired.certificate), str(expired.key))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answering = threading.Thread(target=_shake_hands, args=(listener, context))
        answering.start()
        url = f"https://localhost:{listener.getsockname()[1]}"
        with pytest.raises(PeerUnavailable, match="shows a certificate that is not accepted: certificate has expired"):
            stow.echo(WebDestination(url=url, tls={"ca": authority.path}), timeout_s=5)
        answering.join()


def _shake_hands(listener: socket.socket, context: ssl.SSLContext) -> None:
    connection, _ = listener.accept()
    with connection, contextlib.suppress(OSError):
        context.wrap_socket(connection, server_side=True).close()


def test_an_own_certificate_that_has_expired_is_an_error_at_the_start(
    authority: certificates.Authority, tmp_path: Path
):
    expired, soon = authority.issue("node", lasts=PAST), authority.issue("sender")
    web = {"url": "https://pacs.example.org", "tls": soon.model_dump()}
    settings = Settings(home=tmp_path, receiver={"tls": expired.model_dump()}, destinations={"web": web})
    with capture_logs() as logs:
        told = Invocation().judge_certificates(settings)
    assert [line["log_level"] for line in logs] == ["error", "warning"]
    assert "the certificate of receiver expired on" in str(told[0])
    assert "the certificate of destination web expires on" in str(told[1])
