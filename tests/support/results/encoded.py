"""Encoded results, read again for assertions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from node.delivery.profiles import OHIF, STRICT, Profile
from node.dicom.kinds import ResultKind
from tests.support.data import sources
from tests.support.results import result_requests as made
from workers.results.request import EncodedResult, ResultRequest

PROFILES: tuple[Profile, ...] = (OHIF, STRICT)
CLASSES = {"DX": sources.DX, "CR": sources.CR, "SC": sources.SC}
IDENTITY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)

REAL = {
    "chest-cr-monochrome1-jpeg2000.dcm": OHIF,
    "chest-cr-monochrome1-jpegls-near.dcm": STRICT,
    "chest-siim-sc-jpegbaseline.dcm": OHIF,
    "not-chest-extremity-rle.dcm": STRICT,
    "not-chest-hip-jpegls.dcm": OHIF,
    "not-chest-teeth-cr-modality-lut-jpeglossless.dcm": STRICT,
    "not-human-dx-lateral-thorax.dcm": OHIF,
}
"""Real images, each with a profile that its results are made for."""


def one_image(folder: Path, *, rows: int = 96, columns: int = 80, **values: Any) -> ResultRequest:
    """Return a request for one synthetic image with findings."""
    path = sources.source(folder, rows=rows, columns=columns, **values)
    return made.request((path,), (made.image(sources.uid(), rows, columns),))


def read(result: EncodedResult) -> Dataset:
    """Read the bytes of a result."""
    return dcmread(BytesIO(result.content))


def report_of(results: tuple[EncodedResult, ...]) -> Dataset:
    """Read the SR, which is the last result."""
    return read(results[-1])


def items(ds: Dataset) -> Iterator[Dataset]:
    """Yield every content item below `ds`."""
    for item in ds.get("ContentSequence", ()):
        yield item
        yield from items(item)


def code_of(item: Dataset) -> str:
    """Return the code value of an item of a code sequence."""
    return str(item.get("CodeValue") or item.LongCodeValue)


def named(ds: Dataset, code: str) -> list[Dataset]:
    """Return the content items with this concept name."""
    return [item for item in items(ds) if code_of(item.ConceptNameCodeSequence[0]) == code]


def measurement_groups(sr: Dataset) -> list[Dataset]:
    """Return the groups of TID 1501 and TID 1410."""
    return named(sr, "125007")


def answers(ds: Dataset, code: str) -> list[str]:
    """Return the coded values of the content items with this concept name."""
    return [code_of(item.ConceptCodeSequence[0]) for item in named(ds, code)]


def apart(request: ResultRequest) -> ResultRequest:
    """Return the request with masks of which no two share a pixel."""
    (image,) = request.images
    taken = np.zeros_like(image.segments[0].mask)
    segments = []
    for segment in image.segments:
        mask = segment.mask & ~taken
        taken |= mask
        segments.append(replace(segment, mask=mask))
    return replace(request, images=(replace(image, segments=tuple(segments)),))


def segs(results: tuple[EncodedResult, ...]) -> list[EncodedResult]:
    """Return the Segmentations among results."""
    return [result for result in results if result.kind is ResultKind.SEG]
