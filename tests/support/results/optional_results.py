"""The optional result objects of a request, encoded one kind at a time, as destinations would get them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import config
from pydicom.dataset import Dataset

from models import phantom
from models.image import pixels
from models.values import codes
from models.values.findings import HeatMap, ImageFindings
from node.delivery.profiles import BUILT_IN, Profile
from node.dicom.kinds import ResultKind
from tests.support.data import sources
from tests.support.results import result_requests as made
from tests.support.results.encoded import CLASSES, IDENTITY, read
from workers.results.builders.encapsulated_pdf import encapsulated_pdf
from workers.results.builders.key_objects import key_object_selection
from workers.results.builders.parametric_map import parametric_map
from workers.results.builders.presentation_state import presentation_state
from workers.results.builders.secondary_capture import secondary_capture
from workers.results.part10 import written
from workers.results.request import EncodedResult, Predecessor, ResultRequest
from workers.results.sources.source import Source

Requests = Callable[[Path], ResultRequest]

COMPLETE = BUILT_IN["complete"]


def request_of(*, rows: int = 97, columns: int = 84, **values: Any) -> Requests:
    """Return what makes a request for one source of these sizes and attributes, with findings of every kind."""

    def request(folder: Path) -> ResultRequest:
        path = sources.source(folder, rows=rows, columns=columns, **values)
        image = made.with_pneumothorax(made.image(sources.uid(), rows, columns), codes.LEFT)
        return made.diseases((path,), with_heat_map(image))

    return request


_LACKING = (*IDENTITY, "PatientOrientation", "PixelSpacing", "SeriesNumber", "InstanceNumber", "PatientAge")
POSITION: dict[str, Any] = {"ImagePositionPatient": [1, 2, 3], "ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}
CASES: dict[str, Requests] = {
    **{name: request_of(sop_class=uid) for name, uid in CLASSES.items()},
    "MONOCHROME1": request_of(sop_class=sources.CR, PhotometricInterpretation="MONOCHROME1"),
    "odd-width": request_of(columns=83),
    "landscape": request_of(rows=80, columns=131),
    "turned": request_of(PatientOrientation=["R", "F"]),
    "frame-of-reference": request_of(FrameOfReferenceUID="1.2.3"),
    "position": request_of(FrameOfReferenceUID="1.2.3", **POSITION),
    "bare": request_of(sop_class=sources.CR, drop=_LACKING),
    "latin-1": request_of(sop_class=sources.CR, SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jörg"),
    "japanese": request_of(SpecificCharacterSet="ISO_IR 192", PatientName="Yamada^Tarou=山田^太郎"),
    "time-zone": request_of(TimezoneOffsetFromUTC="+0530"),
    "window": request_of(WindowCenter="2000", WindowWidth="3000"),
    "calibrated": request_of(PixelSpacing=["0.15", "0.15"], PixelSpacingCalibrationType="FIDUCIAL"),
    "lossy": request_of(LossyImageCompression="01", LossyImageCompressionRatio="12"),
}
KINDS = (ResultKind.KO, ResultKind.SC, ResultKind.PR, ResultKind.PM, ResultKind.DOC)


def stored(result: EncodedResult, folder: Path) -> Path:
    """Write a result into a folder."""
    path = folder / f"{result.kind}.dcm"
    path.write_bytes(result.content)
    return path


def results(
    request: ResultRequest,
    kind: ResultKind,
    *,
    profile: Profile = COMPLETE,
    predecessors: Sequence[Predecessor] = (),
) -> list[EncodedResult]:
    """Encode every object of one kind."""
    sources = {source.uid: source for source in request.sources}
    with config.disable_value_validation():
        objects = _objects(request, sources, kind, profile=profile, predecessors=predecessors)
        return [written(ds, kind, source, request.created_at, profile) for ds, source in objects]


def one(request: ResultRequest, kind: ResultKind, **options: Any) -> Dataset:
    """Encode the one object of a kind and read it again."""
    (result,) = results(request, kind, **options)
    return read(result)


def with_heat_map(of: ImageFindings) -> ImageFindings:
    """Return findings with a heat map of the pneumothorax: brightest in the middle of its outline."""
    shape = of.segments[-1].mask.shape
    rows, columns = np.nonzero(of.segments[-1].mask)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    distance = ((y - rows.mean()) / shape[0]) ** 2 + ((x - columns.mean()) / shape[1]) ** 2
    values = np.exp(-40 * distance).astype(np.float32)
    return replace(of, heat_maps=(HeatMap("pneumothorax", made.CLASSIFIER, values),))


def phantom_findings(made_of: phantom.Phantom, uid: str) -> ImageFindings:
    """Return findings with the true masks of a phantom, and the top of its left lung as a pneumothorax."""
    image = made.with_pneumothorax(made.image(uid, *made_of.pixels.shape), codes.LEFT)
    lung = made_of.left_lung
    rows = np.flatnonzero(lung.any(axis=1))
    top = np.zeros_like(lung)
    top[rows[0] : rows[0] + len(rows) // 4] = True
    masks = (made_of.right_lung, lung, made_of.heart, lung & top)
    segments = tuple(replace(s, mask=m) for s, m in zip(image.segments, masks, strict=True))
    return with_heat_map(replace(image, segments=segments))


def _objects(
    request: ResultRequest,
    sources: dict[str, Source],
    kind: ResultKind,
    *,
    profile: Profile,
    predecessors: Sequence[Predecessor],
) -> list[tuple[Dataset, Source]]:
    first = next(iter(sources.values()))
    if kind is ResultKind.KO:
        segs = {image.sop_instance_uid: [_stand_in(ResultKind.SEG)] for image in request.images}
        ds = key_object_selection(request, list(sources.values()), segs, _stand_in(ResultKind.SR), profile=profile)
        return [] if ds is None else [(ds, first)]
    if kind is ResultKind.DOC:
        shown = {uid: _pixels(source) for uid, source in sources.items()}
        document = encapsulated_pdf(request, list(sources.values()), shown, profile=profile, predecessors=predecessors)
        return [(document, first)]
    pairs = [(image, sources[image.sop_instance_uid]) for image in request.images]
    match kind:
        case ResultKind.SC:
            return [
                (
                    secondary_capture(
                        request, image, source, _pixels(source), profile=profile, predecessors=predecessors
                    ),
                    source,
                )
                for image, source in pairs
            ]
        case ResultKind.PR:
            return [
                (presentation_state(request, image, source, _pixels(source), profile=profile), source)
                for image, source in pairs
            ]
        case ResultKind.PM:
            return [
                (
                    parametric_map(request, image, heat_map, source, profile=profile, predecessors=predecessors),
                    source,
                )
                for image, source in pairs
                for heat_map in image.heat_maps
            ]
    raise ValueError(f"{kind} is no optional result")


def _stand_in(kind: ResultKind) -> EncodedResult:
    """Return what a Key Object Selection needs to know of a SEG or SR."""
    uid = f"2.25.{len(kind)}"
    return EncodedResult(kind, COMPLETE.sop_class(kind).sop_class_uid, uid, f"{uid}.1", b"")


def _pixels(source: Source) -> pixels.Radiograph:
    assert isinstance(source.path, Path)
    return pixels.read(source.path)
