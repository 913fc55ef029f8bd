"""The documentation says what the program does: generated pages are current, and every command teaches."""

import re
import tomllib

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from node.conformance import configuration
from node.db.states import JobState
from tests.support.paths import ROOT
from workers.cli import app

COMMANDS = get_command(app).commands


def test_the_configuration_page_is_current():
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert text == configuration.reference(), "run `make docs`"


def test_defaults_are_written_as_a_site_would_write_them():
    assert "| `objects` | `SEG`, `SR` |" in configuration.reference()
    assert "<ResultKind" not in configuration.reference()


def test_every_command_of_the_issue_is_there():
    expected = "up receive dispatch work status studies rerun echo verify-audit bundles phantom analyse migrate"
    assert set(COMMANDS) >= set(expected.split())


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_explains_itself(name):
    outcome = CliRunner().invoke(app, [name, "--help"])
    assert outcome.exit_code == 0
    command = COMMANDS[name]
    assert len(command.help or "") > 40
    for parameter in command.params:
        if parameter.name != "help":
            assert getattr(parameter, "help", None), f"{name} {parameter.name}"


def test_the_readme_names_every_command():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"`hilum {name}" in text or f"`{name}`" in text, name


def test_the_architecture_page_knows_every_job_state():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for state in JobState:
        assert re.search(rf"\b{state}\b", text), state


ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_architecture_page_says_where_every_exception_is_caught():
    said = ARCHITECTURE.partition("## Where every exception is caught")[2].partition("\n## ")[0]
    catching = {
        path.relative_to(ROOT).with_suffix("").as_posix()
        for top in ("node", "workers", "models")
        for path in (ROOT / top).rglob("*.py")
        if re.search(r"^\s*except Exception\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert set(re.findall(r"`([a-z_]+/[a-z_/]+)`", said)) == catching


def test_the_files_that_the_architecture_page_names_are_there():
    cells = re.findall(r"^\| \d+a? [^|]+\| ([^|]+) \|", ARCHITECTURE, re.MULTILINE)
    names = [name for cell in cells for name in re.findall(r"`([a-z_/]+(?:\.py)?)`", cell)]
    assert len(names) > len(cells) > 10
    assert [name for name in names if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("folder", ["node", "workers", "models", "training"])
def test_the_architecture_page_names_every_package_in_the_order_of_the_layers(folder):
    (cell,) = re.findall(rf"^\| `{folder}` \| (.+) \|$", ARCHITECTURE, re.MULTILINE)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract.get("containers") == [folder]]
    names = [name.strip() for layer in layers for name in layer.split("|")]
    packages = [name for name in names if (ROOT / folder / name).is_dir()]
    assert re.findall(r"`([a-z_]+)`", cell.partition(";")[0]) == packages


def test_every_dependency_has_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for group in project["optional-dependencies"].values():
        wanted += group
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    for requirement in wanted:
        name = re.split(r"[\[<>=~! ]", requirement)[0].lower()
        if not name.startswith("types-"):
            assert name in text, name


def test_links_between_pages_lead_somewhere():
    for page in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
