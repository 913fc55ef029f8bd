"""STOW-RS: the stored bytes reach a DICOMweb service, and each of its answers leads where it must."""

from __future__ import annotations

import base64
import hashlib
import inspect
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from dicomweb_client import DICOMwebClient
from typer.testing import CliRunner

from node.db import report
from node.db.engine import Database
from node.db.states import DeliveryState, JobState
from node.delivery.destinations import WebDestination
from node.delivery.outcome import OutgoingFile
from node.dicom.status import MAXIMUM_DOUBTFUL, Disposition
from node.dicomweb import client, stow
from node.dicomweb.stow import HTTP_STATUSES
from node.errors import Misconfigured, PeerUnavailable
from node.settings import Settings
from node.spool.store import Spool
from tests.support.peers import certificates, servers
from tests.support.peers.dicomweb import FakeService, service
from tests.support.peers.system import dataset_bytes, phantom_file, running_node, study_uid
from tests.support.rows import lines, published
from tests.support.stand_ins import Clock, NoBroker
from workers.cli import app
from workers.jobs.delivery import deliver_job
from workers.jobs.runtime import Runtime
from workers.pipelines.networks import Networks


@pytest.fixture
def fake() -> Iterator[FakeService]:
    with service() as running:
        yield running


@pytest.fixture
def runtime(tmp_path: Path, database: Database, fake: FakeService) -> Runtime:
    settings = Settings(
        home=tmp_path,
        destinations={"web": {"url": fake.url}},
        delivery={"connect_timeout_s": 2, "response_timeout_s": 5, "breaker_failures": 2},
    )
    database.clock = Clock()
    return Runtime(
        settings=settings,
        database=database,
        spool=Spool.create(tmp_path / "spool"),
        sender=NoBroker(),
        networks=Networks(settings.analysis, "cpu"),
    )


def deliver(runtime: Runtime, results: int = 1) -> tuple[str, list[report.ResultLine], JobState]:
    job_id = published(runtime, results=results, profiles={"web": "ohif"})
    deliver_job(runtime, job_id)
    found, state = lines(runtime, job_id)
    return job_id, list(found), state


def test_the_stored_bytes_are_what_is_on_the_wire(runtime: Runtime, fake: FakeService):
    _, found, state = deliver(runtime, results=3)
    assert state is JobState.DONE
    assert [hashlib.sha256(content).hexdigest() for content in fake.received] == [line.sha256 for line in found]
    assert fake.paths == ["/dicom-web/studies"] * 3
    assert fake.asked_with[0]["Host"] == f"127.0.0.1:{fake.port}"
    assert fake.asked_with[0]["Accept"] == "application/dicom+json"
    assert fake.connections == 1


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (200, DeliveryState.ACCEPTED),
        (202, DeliveryState.PENDING),
        (301, DeliveryState.PENDING),
        (400, DeliveryState.DEAD),
        (401, DeliveryState.PENDING),
        (403, DeliveryState.PENDING),
        (404, DeliveryState.PENDING),
        (409, DeliveryState.DEAD),
        (413, DeliveryState.DEAD),
        (415, DeliveryState.DEAD),
        (418, DeliveryState.PENDING),
        (500, DeliveryState.PENDING),
        (503, DeliveryState.PENDING),
    ],
)
def test_each_http_status_leads_where_it_must(runtime: Runtime, fake: FakeService, status: int, state: DeliveryState):
    fake.status = status
    fake.headers = {"Location": f"{fake.url}/elsewhere"} if status == 301 else {}
    _, (line,), _ = deliver(runtime)
    assert line.state is state
    assert state is DeliveryState.ACCEPTED or f"HTTP {status}" in (line.last_error or "")
    assert len(fake.received) == 1, "the library does not try again by itself"


@pytest.mark.parametrize(
    ("status", "reason", "state"),
    [
        (409, 0xA700, DeliveryState.PENDING),
        (409, 0x0110, DeliveryState.PENDING),
        (409, None, DeliveryState.PENDING),
        (409, 0x0122, DeliveryState.PENDING),
        (409, 0xA900, DeliveryState.DEAD),
        (202, 0xC122, DeliveryState.PENDING),
        (409, 0x0111, DeliveryState.ACCEPTED),
        (409, 45070, DeliveryState.ACCEPTED),
        (202, 0xB000, DeliveryState.PENDING),
        (200, 0xA700, DeliveryState.PENDING),
    ],
)
def test_each_failure_reason_leads_where_it_must(
    runtime: Runtime, fake: FakeService, status: int, reason: int | None, state: DeliveryState
):
    fake.status, fake.failed = status, {"2.25.1": reason}
    _, (line,), _ = deliver(runtime)
    assert line.state is state
    if state is not DeliveryState.ACCEPTED and reason is not None:
        assert f"{reason:#06x}" in (line.last_error or "")


def test_a_service_that_keeps_refusing_the_class_is_believed_the_fourth_time(runtime: Runtime, fake: FakeService):
    fake.status, fake.failed = 409, {"2.25.1": 0x0122}
    job_id = published(runtime, results=1, profiles={"web": "ohif"})
    seen = []
    for _ in range(MAXIMUM_DOUBTFUL):
        deliver_job(runtime, job_id)
        seen.append(lines(runtime, job_id)[0][0].state)
        runtime.database.clock.now += timedelta(minutes=10)
    assert seen == [DeliveryState.PENDING] * 3 + [DeliveryState.DEAD]
    assert len(fake.received) == MAXIMUM_DOUBTFUL


@pytest.mark.parametrize(
    ("status", "stored", "state"),
    [
        (200, ("2.25.1",), DeliveryState.ACCEPTED),
        (202, ("2.25.1",), DeliveryState.ACCEPTED),
        (200, ("2.25.2",), DeliveryState.PENDING),
        (409, ("2.25.1",), DeliveryState.DEAD),
    ],
)
def test_what_the_answer_names_counts(
    runtime: Runtime, fake: FakeService, status: int, stored: tuple[str, ...], state: DeliveryState
):
    fake.status, fake.stored = status, stored
    _, (line,), _ = deliver(runtime)
    assert line.state is state


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"[1]", b"null", b'{"00081198": 5}', b'{"00081198": {"Value": [{"00081155": 7}]}}', b"[" * 100000],
)
def test_an_answer_that_cannot_be_read_harms_nothing(runtime: Runtime, fake: FakeService, body: bytes):
    fake.status, fake.body = 202, body
    _, (line,), _ = deliver(runtime)
    assert line.state is DeliveryState.PENDING


@pytest.mark.parametrize(
    ("content_type", "body", "why"),
    [
        ("text/html", b"<html>Please log in</html>", "the answer is no JSON"),
        ("application/dicom+json", b'{"00081199":{"Value":[[[[1]]]}}', "cannot be read"),
        ("application/dicom+json", b"", "does not name the instance"),
        ("application/dicom+json", b"{}", "does not name the instance"),
    ],
)
def test_a_200_that_does_not_say_what_was_stored_is_no_success(
    runtime: Runtime, fake: FakeService, content_type: str, body: bytes, why: str
):
    fake.body, fake.content_type = body, content_type
    _, (line,), _ = deliver(runtime)
    assert line.state is DeliveryState.PENDING
    assert why in (line.last_error or "")


@pytest.mark.parametrize("at_once", [40, 100], ids=["headers", "body"])
def test_a_service_that_dribbles_its_answer_is_left_after_the_timeouts(fake: FakeService, tmp_path: Path, at_once: int):
    fake.body, fake.dribble = b" " * 60000, (at_once, 0.05)
    radiograph = phantom_file(tmp_path, 42)
    begun = time.monotonic()
    with pytest.raises(PeerUnavailable):
        stow.store(
            WebDestination(url=fake.url),
            [OutgoingFile("", "2.25.1", radiograph)],
            connect_timeout_s=0.5,
            response_timeout_s=0.5,
        )
    assert time.monotonic() - begun < 2 * 0.5 + 0.5 + 2


@pytest.mark.parametrize(("held", "state"), [(True, DeliveryState.ACCEPTED), (False, DeliveryState.PENDING)])
def test_a_conflict_over_what_the_service_holds_is_no_failure(
    runtime: Runtime, fake: FakeService, held: bool, state: DeliveryState
):
    """Google's service answers 409 with the reason 0x0110 to a repetition, which may mean anything: it is asked."""
    job_id = published(runtime, profiles={"web": "ohif"})
    (line,), _ = lines(runtime, job_id)
    fake.status, fake.failed = 409, {line.sop_instance_uid: 0x0110}
    fake.held = {line.sop_instance_uid} if held else set()
    deliver_job(runtime, job_id)
    assert lines(runtime, job_id)[0][0].state is state


def test_a_service_behind_a_proxy_is_reached_through_it(runtime: Runtime, fake: FakeService):
    behind = WebDestination(url="http://pacs.invalid/dicom-web", proxy=f"http://127.0.0.1:{fake.port}")
    runtime.settings.destinations["web"] = behind
    _, (line,), _ = deliver(runtime)
    assert line.state is DeliveryState.ACCEPTED
    assert fake.paths == ["http://pacs.invalid/dicom-web/studies"]


@pytest.mark.parametrize("proxy", ["ftp://proxy", "http://user:secret@proxy:3128", "proxy:3128", "http://proxy/path"])
def test_what_is_no_proxy_is_refused(proxy: str):
    with pytest.raises(ValueError, match="proxy"):
        WebDestination(url="https://pacs.example.org", proxy=proxy)


def test_an_endless_answer_is_not_read_to_its_end(runtime: Runtime, fake: FakeService):
    fake.body = b" " * (client.MAXIMUM_ANSWER_BYTES + 1)
    _, (line,), _ = deliver(runtime)
    assert line.state is DeliveryState.PENDING


def test_a_service_that_is_away_opens_its_circuit_and_gets_the_results_later(runtime: Runtime, fake: FakeService):
    fake.status = 503
    job_id, found, _ = deliver(runtime, results=2)
    assert len(fake.received) == 1, "after a first 503 the second one is not tried"
    assert {line.state for line in found} == {DeliveryState.PENDING}
    runtime.database.clock.now += timedelta(seconds=15)
    deliver_job(runtime, job_id)
    with runtime.database.read() as tx:
        assert report.status(tx).circuits_open[0][:2] == ("web", 2)
    fake.status = 200
    runtime.database.clock.now += timedelta(seconds=31)
    deliver_job(runtime, job_id)
    assert lines(runtime, job_id)[1] is JobState.DONE


@pytest.mark.parametrize("mute", [False, True])
def test_a_service_that_is_not_there_or_says_nothing_is_tried_later(runtime: Runtime, mute: bool):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if not mute:
            server.close()
        web = WebDestination(url=f"http://127.0.0.1:{port}")
        runtime.settings.destinations["web"] = web
        tight = runtime.settings.delivery.model_copy(update={"response_timeout_s": 0.3})
        runtime.settings = runtime.settings.model_copy(update={"delivery": tight})
        _, (line,), _ = deliver(runtime)
    assert line.state is DeliveryState.PENDING
    assert "cannot be reached" in (line.last_error or "")


def test_secrets_come_from_files_and_stay_out_of_rows_and_messages(runtime: Runtime, fake: FakeService, tmp_path: Path):
    token = tmp_path / "token"
    token.write_text("s3cret-1\n")
    runtime.settings.destinations["web"] = WebDestination(url=fake.url, bearer_token_file=token)
    fake.status = 401
    job_id, (line,), _ = deliver(runtime)
    assert "s3cret" not in (line.last_error or "")
    token.write_text("s3cret-2")
    fake.status = 200
    runtime.database.clock.now += timedelta(seconds=15)
    deliver_job(runtime, job_id)
    assert [asked["Authorization"] for asked in fake.asked_with] == ["Bearer s3cret-1", "Bearer s3cret-2"]
    password = tmp_path / "password"
    password.write_text("node:pass:word\n")
    stow.echo(WebDestination(url=fake.url, basic_auth_file=password), timeout_s=5)
    assert base64.b64decode(fake.asked_with[-1]["Authorization"].removeprefix("Basic ")) == b"node:pass:word"
    password.write_text("two\nlines")
    with pytest.raises(Misconfigured):
        stow.echo(WebDestination(url=fake.url, basic_auth_file=password), timeout_s=5)


def test_passwords_and_proxies_of_the_environment_are_not_used(
    runtime: Runtime, fake: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert deliver(runtime)[2] is JobState.DONE
    assert "Authorization" not in fake.asked_with[0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"url": "ftp://pacs"}, "http or https"),
        ({"url": "https://user:word@pacs/dicom-web"}, "secrets belong into a file"),
        ({"url": "https://pacs/dicom-web?x=1"}, "no user, query or fragment"),
        ({"url": "http://pacs.example.org", "bearer_token_file": "t"}, "need https"),
        ({"url": "https://pacs", "bearer_token_file": "t", "basic_auth_file": "b"}, "exclude each other"),
        ({"url": "https://pacs", "tls": {"key": "k"}}, "certificate and key together"),
        ({"url": "https://pacs", "ae_title": "PACS"}, "Extra inputs"),
        ({"url": "https://pacs", "commitment": {"ask": True}}, "Extra inputs"),
        ({"ae_title": "PACS", "host": "pacs"}, "port"),
    ],
)
def test_settings_of_a_destination_are_checked(values: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        Settings(destinations={"web": values})


def test_a_service_is_not_asked_how_many_instances_it_has():
    with pytest.raises(ValueError, match="answers no C-FIND"):
        Settings(destinations={"web": {"url": "https://pacs"}}, completion={"count_from": "web"})


def test_tls_takes_only_the_authority_of_the_settings_and_shows_our_certificate(tmp_path: Path):
    ours, others = certificates.authority(tmp_path / "ours"), certificates.authority(tmp_path / "others")
    theirs, node = ours.issue("service"), ours.issue("node")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(theirs.certificate), str(theirs.key))
    context.load_verify_locations(str(ours.path))
    context.verify_mode = ssl.CERT_REQUIRED
    with service(context) as fake:
        url = f"https://localhost:{fake.port}"

        def echo(**tls: Path | None) -> None:
            stow.echo(WebDestination(url=url, tls=tls), timeout_s=5)

        echo(ca=ours.path, certificate=node.certificate, key=node.key)
        with pytest.raises(PeerUnavailable):
            echo(ca=others.path, certificate=node.certificate, key=node.key)
        with pytest.raises(PeerUnavailable):
            echo(certificate=node.certificate, key=node.key)
        with pytest.raises(PeerUnavailable):
            echo(ca=ours.path)
        with pytest.raises(Misconfigured):
            echo(ca=tmp_path / "none.pem")


@pytest.mark.parametrize(
    ("status", "exit_code"), [(200, 0), (204, 0), (400, 0), (401, 1), (404, 1), (415, 1), (503, 1)]
)
def test_echo_tells_whether_a_service_could_take_results(
    fake: FakeService, tmp_path: Path, status: int, exit_code: int
):
    fake.status = status
    config = tmp_path / "hilum.yaml"
    config.write_text(f"destinations: {{web: {{url: '{fake.url}'}}}}")
    outcome = CliRunner().invoke(app, ["--config", str(config), "echo"])
    assert outcome.exit_code == exit_code
    assert fake.url in outcome.output.replace("\n", "")


def test_echo_takes_no_login_page_for_a_service(fake: FakeService):
    fake.body, fake.content_type = b"<html>Please log in</html>", "text/html"
    with pytest.raises(PeerUnavailable, match="no JSON"):
        stow.echo(WebDestination(url=fake.url), timeout_s=5)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("_http_post", ["self", "url", "data", "headers"]), ("_encode_multipart_message", ["content", "content_type"])],
)
def test_the_library_has_the_private_methods_that_are_called(name: str, parameters: list[str]):
    method = getattr(DICOMwebClient, name)
    assert list(inspect.signature(method).parameters) == parameters


def test_every_http_status_has_one_meaning():
    assert {row.disposition for row in HTTP_STATUSES} == {Disposition.RETRY, Disposition.REFUSED}
    for row in HTTP_STATUSES:
        assert row.first <= row.last


def test_orthanc_takes_the_results_of_a_whole_node_by_stow_and_the_same_ones_again(tmp_path: Path):
    source = phantom_file(tmp_path, 41)
    with servers.orthanc(tmp_path / "orthanc", configuration=servers.dicomweb()) as orthanc:
        url = f"http://127.0.0.1:{orthanc.http_port}/dicom-web"
        stow.echo(WebDestination(url=url), timeout_s=5)
        with running_node(tmp_path / "node", destinations={"orthanc": {"url": url}}) as node:
            assert node.send([source]) == [0]
            line = node.wait_until_ended(study_uid(source), timeout_s=120)
            assert line.job_state == "done", node.log_text()[-3000:]
            results = node.results(line)
        held = {orthanc.get(f"/instances/{i}/simplified-tags")["SOPInstanceUID"]: i for i in orthanc.instances()}
        assert set(held) == {result.sop_instance_uid for result in results}
        for result in results:
            fetched = tmp_path / f"{result.kind}.dcm"
            with urlopen(
                f"http://127.0.0.1:{orthanc.http_port}/instances/{held[result.sop_instance_uid]}/file"
            ) as held_file:
                fetched.write_bytes(held_file.read())
            assert dataset_bytes(fetched) == dataset_bytes(result.path)
            assert fetched.read_bytes() == result.path.read_bytes()
        again = [OutgoingFile("", result.sop_instance_uid, result.path) for result in results]
        outcomes = stow.store(WebDestination(url=url), again, connect_timeout_s=5, response_timeout_s=20)
        assert {outcome.disposition for outcome in outcomes} == {Disposition.ACCEPTED}
        (tmp_path / "garbage.dcm").write_bytes(b"no DICOM")
        garbage = [OutgoingFile("", "2.25.1", tmp_path / "garbage.dcm")]
        (outcome,) = stow.store(WebDestination(url=url), garbage, connect_timeout_s=5, response_timeout_s=20)
        assert outcome.disposition is not Disposition.ACCEPTED
