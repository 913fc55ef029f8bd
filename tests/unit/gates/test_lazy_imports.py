"""What a process does not load: the libraries of a transport that none of its destinations has."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.paths import ROOT


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("node.dicomweb.stow", {"pynetdicom", "sqlalchemy", "celery"}),
        ("workers.jobs.delivery", {"pynetdicom", "dicomweb_client"}),
        ("node.dimse.scp.receiver", {"sqlalchemy", "celery", "redis", "dicomweb_client", "torch"}),
        ("workers.pipelines.chest.pipeline", {"torch", "highdicom", "sqlalchemy"}),
        ("workers.pipelines.atrium.pipeline", {"torch", "highdicom", "sqlalchemy"}),
        ("node.conformance", {"torch", "highdicom"}),
    ],
)
def test_a_module_loads_only_the_libraries_that_it_needs(module, absent):
    code = f"import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert not absent & set(run.stdout.split())
