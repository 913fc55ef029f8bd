"""Parametric Maps: the values of the heat map, as dcmqi reads them."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.values import codes
from node.dicom.kinds import ResultKind
from tests.support.peers.readers import program, run
from tests.support.results.interoperability import record
from tests.support.results.optional_results import CASES, one, results, stored


@pytest.mark.interoperability
@pytest.mark.parametrize("name", ["DX", "odd-width", "position"])
def test_dcmqi_reads_the_same_heat_map(tmp_path: Path, name: str) -> None:
    paramap2itkimage = program("paramap2itkimage")
    request = CASES[name](tmp_path)
    (result,) = results(request, ResultKind.PM)
    done = run(paramap2itkimage, "--inputDICOM", stored(result, tmp_path), "--outputDirectory", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (heat_map,) = request.images[0].heat_maps
    assert np.array_equal(_nrrd(tmp_path / "pmap.nrrd"), heat_map.values)
    record(source=name, object="PM", profile="complete", reader="dcmqi paramap2itkimage")


def _nrrd(path: Path) -> np.ndarray[Any, Any]:
    """Read one slice of float32 values of a gzipped NRRD file."""
    header, _, body = path.read_bytes().partition(b"\n\n")
    fields = dict(line.split(": ", 1) for line in header.decode().splitlines() if ": " in line)
    assert (fields["type"], fields["encoding"]) == ("float", "gzip")
    columns, rows, _ = map(int, fields["sizes"].split())
    return np.frombuffer(gzip.decompress(body), "<f4").reshape(rows, columns)


def test_a_heat_map_says_of_which_finding_it_is(tmp_path: Path) -> None:
    ds = one(CASES["DX"](tmp_path), ResultKind.PM)
    (mapping,) = ds.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    codes_said = {item.ConceptCodeSequence[0].CodeValue for item in mapping.QuantityDefinitionSequence}
    assert codes_said == {"CLASS-ACTIVATION", codes.PNEUMOTHORAX.value}
    unit = mapping.MeasurementUnitsCodeSequence[0]
    assert (unit.CodeValue, unit.CodingSchemeDesignator) == ("1", "UCUM")


def test_a_heat_map_has_the_frame_of_reference_of_its_source_or_one_of_its_own(tmp_path: Path) -> None:
    placed, bare = CASES["position"](_folder(tmp_path)), CASES["DX"](tmp_path)
    assert one(placed, ResultKind.PM).FrameOfReferenceUID == "1.2.3"
    assert one(bare, ResultKind.PM).FrameOfReferenceUID.startswith("2.25.")


def _folder(parent: Path) -> Path:
    folder = parent / "other"
    folder.mkdir()
    return folder


def test_a_heat_map_of_another_grid_is_refused(tmp_path: Path) -> None:
    request = CASES["DX"](tmp_path)
    (image,) = request.images
    (heat_map,) = image.heat_maps
    wrong = replace(image, heat_maps=(replace(heat_map, values=heat_map.values[:-1]),))
    with pytest.raises(ValueError, match="the image is"):
        results(replace(request, images=(wrong,)), ResultKind.PM)
