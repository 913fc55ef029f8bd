"""`hilum explain`: header, eligibility, rules, and what would be sent where."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from node.cli import Invocation, app
from node.commands.files import files_under
from node.dicom.header import Header
from node.errors import Misconfigured
from node.intake import reading
from tests.support.data import mr, sources

SETTINGS = """
receiver: {allowed_calling_ae_titles: [PACS, ER_ROUTER]}
destinations:
  pacs: {ae_title: PACS, host: 192.0.2.10, port: 104}
  archive: {ae_title: VNA, host: 192.0.2.11, port: 104, profile: secondary-capture}
rules:
  - {name: emergency, calling_ae_title: [ER_ROUTER], priority: STAT, destinations: [pacs], bundles: [lungs-heart]}
  - {name: children, age_years: [0, 16], pipeline: none}
  - {name: special, description: 'bedside|portable'}
  - {name: films, modality: [CR]}
  - {name: rest, modality: [DX]}
"""


def explain(folder: Path, *arguments: str | Path, settings: str = SETTINGS, columns: int = 160) -> Result:
    """Run the command of the edge alone, with these settings."""
    config = folder / "hilum.settings"
    config.write_text(settings)
    outcome = CliRunner().invoke(
        app, ["explain", *map(str, arguments)], env={"COLUMNS": str(columns)}, obj=Invocation(config)
    )
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return outcome


def explained(folder: Path, *arguments: str | Path) -> dict[str, object]:
    """Return the one entry that is printed for a program."""
    (entry,) = json.loads(explain(folder, "--json", *arguments).stdout)
    return dict(entry)


def image(folder: Path, **values: object) -> Path:
    return sources.source(folder, **({"rows": 300, "columns": 280} | values))  # type: ignore[arg-type]


def test_an_accepted_image_is_explained_rule_by_rule(tmp_path: Path) -> None:
    outcome = explain(tmp_path, image(tmp_path, StudyDescription="Chest routine"))
    assert outcome.exit_code == 0
    lines = [" ".join(line.split()) for line in outcome.stdout.splitlines()]
    for line in (
        "modality DX",
        "SOP class Digital X-Ray Image Storage - For Presentation (1.2.840.10008.5.1.4.1.1.1.1)",
        "transfer syntax Explicit VR Little Endian (1.2.840.10008.1.2.1)",
        "body part CHEST",
        "view PA",
        "rows × columns 300 × 280",
        "age 66.0 years",
        "Receiver would take it",
        "Eligibility accepted by the pipeline chest",
        "emergency does not match: calling AE Title is unknown, not ER_ROUTER",
        "children does not match: age is 66.0, not from 0 to under 16 years",
        "special does not match: neither description has 'bedside|portable'",
        "films does not match: modality is DX, not CR",
        "rest matches",
        "So analysed, and answered with results",
        "bundles those that the pipeline runs unasked",
        "priority routine",
        "to archive VNA at 192.0.2.11:104, profile secondary-capture: SC, SR",
        "to pacs PACS at 192.0.2.10:104, profile ohif: SEG, SR",
        "A file does not say who sends it: `--from AE` gives the calling AE Title.",
    ):
        assert line in lines, outcome.stdout


def test_the_sender_decides_where_a_rule_asks_for_it(tmp_path: Path) -> None:
    outcome = explain(tmp_path, "--from", "ER_ROUTER", image(tmp_path))
    lines = [" ".join(line.split()) for line in outcome.stdout.splitlines()]
    assert "emergency matches" in lines
    assert "children not looked at, emergency has decided" in lines
    assert "bundles lungs-heart" in lines
    assert "priority STAT" in lines
    assert not any(line.startswith("to archive") for line in lines)
    assert "--from" not in outcome.stdout


@pytest.mark.parametrize(
    ("values", "arguments", "verdict", "reason", "rule", "priority"),
    [
        ({}, (), "accepted", None, "rest", "routine"),
        ({}, ("--from", "ER_ROUTER"), "accepted", None, "emergency", "STAT"),
        ({"BodyPartExamined": "ABDOMEN"}, (), "declined", "body-part-not-chest", "rest", "routine"),
        ({"ViewPosition": "LL"}, (), "declined", "view-not-frontal", "rest", "routine"),
        ({"rows": 64}, (), "declined", "image-too-small", "rest", "routine"),
        ({"PatientAge": "004Y"}, (), "accepted", None, "children", None),
        ({"StudyDescription": "PORTABLE chest"}, (), "accepted", None, "special", "routine"),
        ({"sop_class": sources.SC, "BodyPartExamined": "CHEST"}, (), "accepted", None, None, None),
    ],
)
def test_verdict_rule_and_priority(
    tmp_path: Path,
    values: dict[str, object],
    arguments: tuple[str, ...],
    verdict: str,
    reason: str | None,
    rule: str | None,
    priority: str | None,
) -> None:
    found = explained(tmp_path, *arguments, image(tmp_path, **values))
    assert (found["verdict"], found["reason"]) == (verdict, reason)
    assert (found["rule"], found["priority"]) == (rule, priority)


def test_what_is_declined_is_answered_with_its_reason(tmp_path: Path) -> None:
    shown = explain(tmp_path, image(tmp_path, BodyPartExamined="ABDOMEN")).stdout
    assert "declined by the pipeline chest, body part not chest: body part ABDOMEN" in shown
    assert "not analysed; the study is answered with a report that gives the reason" in shown
    assert "to pacs" in shown
    assert "bundles" not in shown


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"PatientAge": "004Y"}, "recorded only: the rule asks for no analysis"),
        ({"sop_class": sources.SC, "BodyPartExamined": "CHEST"}, "recorded only: no rule matches"),
    ],
)
def test_nothing_is_analysed_where_no_rule_asks_for_it(tmp_path: Path, values: dict[str, object], said: str) -> None:
    assert said in explain(tmp_path, image(tmp_path, **values)).stdout


def test_the_rule_chooses_the_pipeline_that_judges(tmp_path: Path) -> None:
    slices = mr.series(tmp_path, mr.ellipsoid((12, 40, 44)).astype(np.uint16))
    rule = "rules: [{name: heart, modality: [MR], pipeline: atrium}, {name: rest}]"
    shown = explain(tmp_path, slices[0], settings=rule).stdout
    assert "MR Image Storage (1.2.840.10008.5.1.4.1.1.4)" in shown
    assert "accepted by the pipeline atrium" in shown
    unasked = explain(tmp_path, slices[0], settings="rules: [{name: rest}]").stdout
    assert "declined by the pipeline chest, not a projection radiograph" in unasked
    assert "would not take it: its SOP class is not among those that the node takes" in unasked
    assert "not received, so nothing of what follows happens" in unasked


def test_a_receiver_that_would_refuse_says_so(tmp_path: Path) -> None:
    path = image(tmp_path)
    title = explained(tmp_path, "--from", "WARD", path)["refusal"]
    assert title == "WARD is not in receiver.allowed_calling_ae_titles"
    unknown = b"1.2.840.10008.5.1.4.1.1.1.1\0"
    path.write_bytes(path.read_bytes().replace(unknown, b"1.2.840.10008.5.1.4.1.1.481.1"[:27] + b"\0"))
    assert "SOP class" in str(explained(tmp_path, path)["refusal"])


def test_an_object_that_the_receiver_would_cut_off_says_so(tmp_path: Path) -> None:
    outcome = explain(tmp_path, "--json", image(tmp_path), settings="receiver: {maximum_object_bytes: 65536}")
    assert json.loads(outcome.stdout)[0]["refusal"] == "it is longer than receiver.maximum_object_bytes, 65536"


def test_what_is_no_dicom_object_is_a_row_with_its_reason_and_ends_with_1(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    image(folder)
    (folder / "notes.txt").write_text("not an image")
    whole = image(folder, number=2).read_bytes()
    (folder / "cut.dcm").write_bytes(whole[:-1000])
    outcome = explain(tmp_path, folder, columns=400)
    assert outcome.exit_code == 1
    lines = [" ".join(line.split()) for line in outcome.stdout.splitlines()]
    (notes,) = [line for line in lines if "notes.txt" in line]
    assert "- not DICOM no DICM prefix after the preamble (PS3.10 section 7.1) - - -" in notes
    (cut,) = [line for line in lines if "cut.dcm" in line]
    # Its study can be read, so it is answered; of a file that cannot be used only the sender is known to the rules.
    assert "quarantined truncated object" in cut
    assert cut.endswith("none matches - -")
    (good,) = [line for line in lines if "DX-300x280-1.dcm" in line]
    assert good.endswith("DX, Digital X-Ray accepted - rest routine archive, pacs")
    assert "4 file(s): 2 accepted, 1 quarantined, 1 not DICOM" in lines


def test_a_file_that_is_too_large_is_quarantined_as_intake_does(tmp_path: Path) -> None:
    path = image(tmp_path)
    outcome = explain(tmp_path, "--json", path, settings="spool: {maximum_object_bytes: 65536}")
    (found,) = json.loads(outcome.stdout)
    assert (found["verdict"], found["reason"]) == ("quarantined", "object-too-large")
    assert outcome.exit_code == 1


def test_whatever_goes_wrong_is_explained_as_intake_records_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> Header:
        raise LookupError("PLANTED^NAME")

    path = image(tmp_path)
    monkeypatch.setattr(reading, "read_header", fail)
    found = explained(tmp_path, path)
    assert (found["verdict"], found["reason"]) == ("quarantined", "malformed-object")
    assert found["detail"] == "the header cannot be read (LookupError)"


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_what_is_no_regular_file_is_not_read(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    os.mkfifo(tmp_path / "pipe")
    outcome = explain(tmp_path, *arguments, tmp_path / "pipe")
    assert outcome.exit_code == 1
    assert "unreadable" in outcome.stdout
    assert "not a regular file" in outcome.stdout
    with pytest.raises(Misconfigured, match="pipe is not a regular file"):
        files_under([tmp_path / "pipe"])


def test_of_a_quarantined_file_is_shown_what_can_be_read(tmp_path: Path) -> None:
    path = image(tmp_path, PatientName="PLANTED^NAME")
    path.write_bytes(path.read_bytes()[:-1000])
    lines = [" ".join(line.split()) for line in explain(tmp_path, path).stdout.splitlines()]
    assert "Header, what can still be read of it" in lines
    assert "modality DX" in lines
    assert "rows × columns 300 × 280" in lines
    assert "Receiver would take it" in lines
    assert "PLANTED" not in " ".join(lines)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"1.2.840.10008.5.1.4.1.1.1.1\0", b"1.2.840.10008.5.1.4.1.1.104\0", "its SOP class is not among"),
        (b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0", "its transfer syntax is not taken"),
    ],
)
def test_a_quarantined_file_that_is_not_received_is_not_answered(
    tmp_path: Path, old: bytes, new: bytes, said: str
) -> None:
    path = image(tmp_path)
    path.write_bytes(path.read_bytes().replace(old, new)[:-1000])
    outcome = explain(tmp_path, path)
    assert outcome.exit_code == 1
    assert f"would not take it: {said}" in outcome.stdout
    assert "not received, so nothing" in outcome.stdout
    assert "answered" not in outcome.stdout


def test_a_narrow_table_is_whole_and_names_files_from_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a-folder-with-a-name-that-is-longer-than-any-column" / "inner"
    folder.mkdir(parents=True)
    image(folder)
    image(folder, number=2)
    lines = explain(tmp_path, folder, columns=80).stdout.splitlines()
    assert lines[0] == f"in {folder}"
    assert sum("DX-300x280" in line for line in lines) == 2
    assert any("destinations" in line for line in lines)
    assert all(len(line) <= 80 for line in lines[1:])


def test_an_empty_folder_has_nothing_to_explain(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    outcome = explain(tmp_path, tmp_path / "empty")
    assert outcome.exit_code == 1
    assert "no files in " in outcome.stderr


def test_files_that_are_not_dicom_count_where_they_are_named_or_alone(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    notes = folder / "notes.txt"
    notes.write_text("not an image")
    assert explain(tmp_path, folder).exit_code == 1
    path = image(folder)
    outcome = explain(tmp_path, folder)
    assert outcome.exit_code == 0
    assert explain(tmp_path, path, notes).exit_code == 1


def test_the_patient_is_not_named(tmp_path: Path) -> None:
    path = image(tmp_path, PatientName="PLANTED^NAME", PatientID="PLANTED-ID", AccessionNumber="PLANTED-A")
    for outcome in (explain(tmp_path, path), explain(tmp_path, "--json", path), explain(tmp_path, path, path)):
        assert outcome.exit_code == 0
        assert "PLANTED" not in outcome.stdout


def test_text_of_a_sender_is_not_read_as_markup(tmp_path: Path) -> None:
    shown = explain(tmp_path, image(tmp_path, StudyDescription="[red]chest[/red] [/]")).stdout
    assert "[red]chest[/red] [/]" in shown


def test_wrong_settings_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="nowhere"):
        explain(tmp_path, image(tmp_path), settings="rules: [{name: r, destinations: [nowhere]}]")
