"""`hilum profile-check`: what a destination takes, what it refuses, and what to configure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from node.delivery.profiles import BUILT_IN
from node.dimse.archive import reserved_port
from tests.support.peers import servers
from tests.support.peers.dicomweb import service
from tests.support.peers.pacs import SEG, SR, FakePACS
from workers.cli import app
from workers.commands.profile_check import PATIENT_ID


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Orthanc]:
    with servers.orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


def checked(folder: Path, destination: dict[str, Any], *options: str, **settings: Any) -> Result:
    """Run the command as a user does; lines are not broken by the terminal's width."""
    config = folder / "hilum.yaml"
    config.write_text(yaml.safe_dump({"home": str(folder / "home"), "destinations": {"pacs": destination}, **settings}))
    return CliRunner(env={"COLUMNS": "250"}).invoke(app, ["--config", str(config), "profile-check", "pacs", *options])


def to(orthanc: servers.Orthanc, **values: Any) -> dict[str, Any]:
    return {"ae_title": orthanc.ae_title, "host": "127.0.0.1", "port": orthanc.port, **values}


def test_an_archive_that_takes_the_profile_whole_is_told_so_and_holds_the_phantom(orthanc, tmp_path):
    before = set(orthanc.instances())
    outcome = checked(tmp_path, to(orthanc))
    assert outcome.exit_code == 0, outcome.output
    assert "Profile ohif fits pacs" in outcome.output
    new = [orthanc.get(f"/instances/{key}/simplified-tags") for key in set(orthanc.instances()) - before]
    assert {tags["Modality"] for tags in new} >= {"DX", "SEG", "SR"}
    assert {tags["PatientID"] for tags in new} == {PATIENT_ID}
    (study,) = {tags["StudyInstanceUID"] for tags in new}
    assert study in outcome.output


def test_every_profile_is_sent_on_demand_and_a_class_that_is_unknown_is_named(orthanc, tmp_path):
    outcome = checked(tmp_path, to(orthanc, profile="labelmap"), "--all")
    assert outcome.exit_code == 1
    assert "SOP class not accepted" in outcome.output
    assert "Let pacs accept Label Map Segmentation Storage (1.2.840.10008.5.1.4.1.1.66.7)" in outcome.output
    assert "one of which it accepts everything: ohif, strict" in outcome.output


def test_asking_stores_nothing(tmp_path):
    with FakePACS() as pacs:
        outcome = checked(tmp_path, {**pacs.destination, "profile": "compressed"}, "--ask-only")
        assert pacs.received == []
    assert outcome.exit_code == 1
    assert "transfer syntax not accepted" in outcome.output
    assert "JPEG 2000" in outcome.output and "choose a profile without that compression" in outcome.output
    assert "A phantom was sent" not in outcome.output
    assert all(name in outcome.output for name in BUILT_IN)


def test_a_status_of_the_peer_is_reported_as_it_came(tmp_path):
    with FakePACS(statuses={SEG: 0xA900, SR: 0xA700}) as pacs:
        outcome = checked(tmp_path, pacs.destination)
    assert outcome.exit_code == 1
    assert "pacs refused SEG (0xa900" in outcome.output
    assert "could not take SR now (0xa700" in outcome.output


def test_a_commitment_that_is_configured_and_not_offered_does_not_fit(tmp_path):
    for offered in (False, True):
        with FakePACS(commits="when told" if offered else "no") as pacs:
            outcome = checked(tmp_path, {**pacs.destination, "commitment": {"ask": True}}, "--ask-only")
        assert outcome.exit_code == (0 if offered else 1), outcome.output
        advice = "destinations.pacs.commitment.ask is on: let it offer the Storage Commitment Push Model"
        assert (advice in outcome.output) is not offered
        assert "one of which it accepts everything" not in outcome.output


def test_a_service_that_knows_us_not_is_no_question_of_its_disk(tmp_path):
    with service() as fake:
        fake.status = 401
        outcome = checked(tmp_path, {"url": fake.url})
    assert outcome.exit_code == 1
    assert "took no radiograph from HILUM (HTTP 401 Unauthorized" in outcome.output
    assert "gave no answer about SR" in outcome.output
    assert "look at its address, at the credentials" in outcome.output
    assert "disk" not in outcome.output


def test_a_site_may_check_a_profile_of_its_own(tmp_path):
    mine = [{"name": "small", "compression": "deflated", "purpose": "Ours."}]
    with FakePACS() as pacs:
        outcome = checked(tmp_path, {**pacs.destination, "profile": "small"}, "--ask-only", profiles=mine)
    assert outcome.exit_code == 0, outcome.output
    assert "profile small (configured), only asked" in outcome.output
    assert "Deflated Explicit VR Little Endian" in outcome.output
    assert "Profile small fits pacs" in outcome.output


def test_a_destination_that_is_not_there_ends_with_a_clear_error(tmp_path):
    with reserved_port() as port:
        outcome = checked(tmp_path, {"ae_title": "GONE", "host": "127.0.0.1", "port": port}, "--ask-only")
    assert outcome.exit_code != 0
    assert "cannot be reached" in str(outcome.exception)


def test_a_dicomweb_service_is_sent_to_and_cannot_be_asked(tmp_path):
    with servers.orthanc(tmp_path / "orthanc", configuration=servers.dicomweb()) as running:
        service = {"url": f"http://127.0.0.1:{running.http_port}/dicom-web"}
        outcome = checked(tmp_path, service)
        assert outcome.exit_code == 0, outcome.output
        held = [running.get(f"/instances/{key}/simplified-tags")["Modality"] for key in running.instances()]
    assert set(held) == {"DX", "SEG", "SR"}
    assert "Profile ohif fits pacs" in outcome.output
    refused = checked(tmp_path, service, "--ask-only")
    assert refused.exit_code != 0
    assert "run without --ask-only" in str(refused.exception)
