"""What a process and its children take from the environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from models import openmp
from node import settings


@pytest.fixture(autouse=True)
def environment():
    """Bring back whatever a test removes."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_the_settings_of_another_node_are_forgotten_but_one_section(monkeypatch):
    monkeypatch.setenv("HILUM_RECEIVER__PORT", "11113")
    monkeypatch.setenv("HILUM_CONFIG", "node.yaml")
    monkeypatch.setenv("HILUM_ANALYSIS__DEVICE", "cpu")
    settings.forget_environment(but="ANALYSIS")
    assert [name for name in os.environ if name.startswith("HILUM_")] == ["HILUM_ANALYSIS__DEVICE"]


def test_children_read_the_same_file_wherever_they_start(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HILUM_RECEIVER__PORT", "11113")
    environment = settings.for_children(Path("node.yaml"))
    assert environment["HILUM_CONFIG"] == str(tmp_path / "node.yaml")
    assert environment["HILUM_RECEIVER__PORT"] == "11113"
    assert "HILUM_CONFIG" not in os.environ


def test_what_the_operator_set_for_libgomp_stays(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    openmp.apply()
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["GOMP_SPINCOUNT"]) == ("ACTIVE", "0")
