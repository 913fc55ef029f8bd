"""Segmentations in the loader that OHIF 3.13.2 uses, without a browser: every pixel of every segment, in many sources.

The masks are speckled, so that a bit out of its place is seen. What the loader refuses or gets wrong is expected by
name: the day that it does better, or worse, is a day to look at the profiles.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from models.values import codes
from node.delivery.profiles import BUILT_IN, OHIF, STRICT, Profile
from tests.support.data import sources
from tests.support.peers.readers import Masks
from tests.support.results import result_requests as made
from tests.support.results.encoded import CLASSES, apart, one_image, segs
from tests.support.results.interoperability import HELD, record
from tests.support.viewer import loader
from tests.support.viewer.loader import Case, Loaded
from workers.results.encode import encode
from workers.results.request import ResultRequest
from workers.results.text.wording import display_name

pytestmark = pytest.mark.interoperability
Requests = Callable[[Path], ResultRequest]
READERS = {
    loader.OHIF: "cornerstone adapters loader",
    loader.BUFFER: "cornerstone adapters loader, createFromDICOMSegBuffer",
}


def _image(sop_class: str = sources.DX, **values: Any) -> Requests:
    return lambda folder: one_image(folder, sop_class=sop_class, **values)


def _two_images(rows: int = 96, columns: int = 80, **values: Any) -> Requests:
    def request(folder: Path) -> ResultRequest:
        grid = {"rows": rows, "columns": columns}
        paths = tuple(sources.source(folder, number=number, **grid, **values) for number in (1, 2))
        return made.request(paths, tuple(made.image(sources.uid(number), **grid) for number in (1, 2)))

    return request


def _outlined(folder: Path) -> ResultRequest:
    image = made.with_pneumothorax(made.image(sources.uid()), codes.LEFT)
    return made.diseases((sources.source(folder),), image)


SMALL = [(96, 80), (100, 82), (97, 83)]
"""Rows and columns: their product is a multiple of 16, of 8, and odd."""
SIZES = [*SMALL, (61, 128), (128, 61), (90, 81), (83, 97), (61, 83), (1200, 1004), (1201, 1003)]
SPACING = ("PixelSpacing", "ImagerPixelSpacing")
POSITION = {
    "FrameOfReferenceUID": "1.2.3",
    "ImagePositionPatient": [1, 2, 3],
    "ImageOrientationPatient": [1, 0, 0, 0, 0, -1],
}
SOURCES: dict[str, Requests] = {
    **{
        f"{name} {rows}×{columns}": _image(sop_class, rows=rows, columns=columns)
        for name, sop_class in CLASSES.items()
        for rows, columns in (SIZES if name == "DX" else SMALL)
    },
    "CR 61×83, MONOCHROME1": _image(sources.CR, rows=61, columns=83, PhotometricInterpretation="MONOCHROME1"),
    "MONOCHROME1": _image(PhotometricInterpretation="MONOCHROME1"),
    "turned": _image(PatientOrientation=["R", "F"]),
    "no-spacing": _image(drop=SPACING),
    "calibrated": _image(PixelSpacing=["0.15", "0.15"], PixelSpacingCalibrationType="FIDUCIAL"),
    "frame-of-reference": _image(FrameOfReferenceUID="1.2.3"),
    "frame-of-reference 97×83": _image(FrameOfReferenceUID="1.2.3", rows=97, columns=83),
    "position": _image(**POSITION),
    "position 97×83": _image(rows=97, columns=83, **POSITION),
    "position, no-spacing": _image(drop=SPACING, **POSITION),
    "orientation": _image(ImageOrientationPatient=POSITION["ImageOrientationPatient"]),
    "two-images": _two_images(),
    "two-images 97×83": _two_images(97, 83),
    "two-images, one-series": _two_images(SeriesInstanceUID=f"{sources.STUDY}.2.9"),
    "nothing-overlaps": lambda folder: apart(one_image(folder)),
    "outlined": _outlined,
}

NO_ORIENTATION = "refused: TypeError: Cannot read properties of undefined (reading 'ImageOrientationPatient')"
SHEARED = "wrong pixels: Left lung, Heart"
"""Frames of a BINARY Segmentation that begin within a byte are read from the beginning of a byte."""
PADDED = "refused: Error: Invalid frame length: n for n frames"
PADDED_WITHIN = "refused: Error: The calculated length n does not match the actual length n"
PADDED_BUFFER = "refused: Error: Unexpected 1-bit SEG PixelData length n for n frame(s) of n pixels"
SHIFTED = "pixels as computed, each under name and colour of the segment before it"
NOT_INFLATED = "refused: Error: no frame was found in the instance, and there is no archive to ask for it"


@dataclass(frozen=True)
class Trial:
    """What is tried, and what comes of it."""

    source: str
    profile: Profile
    way: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.source}, {self.profile.name}, {self.way}"


def _trials(profile: Profile, outcomes: dict[str, str], way: str = loader.OHIF) -> list[Trial]:
    return [Trial(source, profile, way, outcome) for source, outcome in outcomes.items()]


ODD_BYTES = [name for name in SOURCES if re.search("100×82|97×83|83×97|61×83", name)]
"""Sources of which a segment fills an odd number of bytes."""
PLAIN, POSITIONED = ["DX 96×80", "DX 97×83", "DX 90×81"], ["position", "position 97×83"]
TRIALS = [
    *_trials(OHIF, dict.fromkeys(SOURCES, HELD)),
    *_trials(
        OHIF,
        {**dict.fromkeys(SOURCES, HELD), **dict.fromkeys(ODD_BYTES, PADDED_BUFFER)},
        loader.BUFFER,
    ),
    *_trials(
        STRICT,
        {
            **dict.fromkeys([*PLAIN, "no-spacing", "frame-of-reference", "outlined"], NO_ORIENTATION),
            "DX 100×82": PADDED,
            "DX 61×83": PADDED_WITHIN,
            "position": HELD,
            "position 97×83": SHEARED,
        },
    ),
    *_trials(
        BUILT_IN["compressed"],
        {**dict.fromkeys(PLAIN, NO_ORIENTATION), **dict.fromkeys(POSITIONED, HELD)},
    ),
    *_trials(
        BUILT_IN["labelmap"],
        {**dict.fromkeys(PLAIN, NO_ORIENTATION), **dict.fromkeys(POSITIONED, SHIFTED)},
    ),
    *_trials(
        Profile(name="deflated", compression="deflated"),
        dict.fromkeys([*PLAIN, *POSITIONED], NOT_INFLATED),
    ),
    *_trials(
        Profile(name="unsplit", plane_orientation=True),
        {
            **dict.fromkeys(["DX 96×80", "position"], HELD),
            **dict.fromkeys(["DX 97×83", "DX 90×81", "position 97×83"], SHEARED),
            "DX 100×82": PADDED,
            "DX 61×83": PADDED_WITHIN,
        },
    ),
    *_trials(
        Profile(name="oriented-j2k", plane_orientation=True, compression="jpeg-2000"),
        dict.fromkeys([*PLAIN, "DX 100×82", "DX 61×83", "CR 97×83", "nothing-overlaps", *POSITIONED], HELD),
    ),
    *_trials(
        Profile(name="oriented-labelmap", plane_orientation=True, segmentation="LABELMAP", compression="rle"),
        dict.fromkeys([*PLAIN, "DX 100×82", "DX 61×83", "CR 97×83", "nothing-overlaps", *POSITIONED], SHIFTED),
    ),
]


@dataclass(frozen=True)
class Tried:
    """One Segmentation, what was computed, and what the loader made of it."""

    segmentation: Dataset
    computed: tuple[Masks, ...]
    """For each image of the series, by Segment Number."""
    loaded: Loaded


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> dict[Trial, list[Tried]]:
    """All trials, in one process of Node."""

    @cache
    def results(source: str, profile: Profile) -> tuple[ResultRequest, list[Path]]:
        folder = tmp_path_factory.mktemp("results")
        request = speckled(SOURCES[source](folder))
        return request, written(request, profile, folder)

    given = [
        (trial, request, seg, Case(in_series(request, seg), path, request.images[0].segments[0].mask.shape, trial.way))
        for trial in TRIALS
        for request, paths in [results(trial.source, trial.profile)]
        for path in paths
        for seg in [dcmread(path)]
    ]
    answers = loader.load([case for *_, case in given], tmp_path_factory.mktemp("node"))
    found: dict[Trial, list[Tried]] = {}
    for (trial, request, seg, case), loaded in zip(given, answers, strict=True):
        found.setdefault(trial, []).append(Tried(seg, computed(request, seg, case.images), loaded))
    return found


def written(request: ResultRequest, profile: Profile, folder: Path) -> list[Path]:
    """Encode a request and write its Segmentations."""
    paths = []
    for number, result in enumerate(segs(encode(request, profile=profile))):
        paths.append(folder / f"seg-{number}.dcm")
        paths[-1].write_bytes(result.content)
    return paths


def speckled(request: ResultRequest) -> ResultRequest:
    """Return the request with masks that are full of holes, and with nothing to report, which would only take time."""
    random = np.random.default_rng(31)
    images = []
    for image in request.images:
        holes = [random.random(segment.mask.shape) < 0.3 for segment in image.segments]
        segments = [replace(s, mask=s.mask & ~hole) for s, hole in zip(image.segments, holes, strict=True)]
        images.append(replace(image, segments=tuple(segments), findings=(), measurements=(), not_computed=()))
    return replace(request, images=tuple(images))


def in_series(request: ResultRequest, seg: Dataset) -> tuple[Path, ...]:
    """Return the images of the series that a Segmentation refers to: those over which OHIF loads it."""
    series = seg.ReferencedSeriesSequence[0].SeriesInstanceUID
    return tuple(path for path in made.paths_of(request) if dcmread(path).SeriesInstanceUID == series)


def computed(request: ResultRequest, seg: Dataset, images: tuple[Path, ...]) -> tuple[Masks, ...]:
    """Return the masks that a Segmentation should give, for each image; it is of one of them."""
    (instance,) = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    (image,) = [image for image in request.images if image.sop_instance_uid == instance.ReferencedSOPInstanceUID]
    masks = {display_name(segment.label): segment.mask for segment in image.segments}
    of_image = {number: masks[label] for number, label in labels(seg).items()}
    return tuple(of_image if dcmread(path).SOPInstanceUID == image.sop_instance_uid else {} for path in images)


def labels(seg: Dataset) -> dict[int, str]:
    """Return the segments by number, without the background of a label map."""
    return {int(s.SegmentNumber): str(s.SegmentLabel) for s in seg.SegmentSequence if s.SegmentNumber > 0}


def outcome(tried: Tried) -> str:
    """Return in words what the loader made of a Segmentation."""
    if tried.loaded.refusal:
        return "refused: " + re.sub(r"\b\d+\b(?!-)", "n", tried.loaded.refusal)
    names = labels(tried.segmentation)
    wrong = [
        name
        for number, name in names.items()
        for ours, theirs in zip(tried.computed, tried.loaded.masks, strict=True)
        if not same(ours.get(number), theirs.get(number))
    ]
    if wrong:
        return f"wrong pixels: {', '.join(wrong)}"
    assert all(set(theirs) <= set(names) for theirs in tried.loaded.masks)
    shown = {number: tried.loaded.labels.get(number) for number in names}
    if shown == names:
        return HELD
    assert shown == dict(zip(names, ["Background", *names.values()], strict=False))
    return SHIFTED


def same(ours: Any, theirs: Any) -> bool:
    """Whether two masks are the same, of which either may be absent."""
    return (ours is None and theirs is None) or np.array_equal(ours, theirs)


@pytest.mark.parametrize("trial", [trial for trial in TRIALS if trial.outcome == HELD], ids=str)
def test_the_loader_gives_every_segment_as_it_was_computed(trial: Trial, tried: dict[Trial, list[Tried]]) -> None:
    assert {outcome(each) for each in tried[trial]} == {HELD}
    noted(trial, tried[trial])


@pytest.mark.parametrize("trial", [trial for trial in TRIALS if trial.outcome != HELD], ids=str)
def test_what_the_loader_refuses_or_gets_wrong_is_known(trial: Trial, tried: dict[Trial, list[Tried]]) -> None:
    assert {outcome(each) for each in tried[trial]} == {trial.outcome}
    noted(trial, tried[trial])


def noted(trial: Trial, tried: list[Tried]) -> None:
    """Record the outcome for the table."""
    of_several = max(len(labels(each.segmentation)) for each in tried) > 1
    record(
        source=trial.source,
        object=f"SEG {trial.profile.segmentation}{'' if of_several else ', one SEG for each segment'}",
        profile=trial.profile.name,
        reader=READERS[trial.way],
        outcome=trial.outcome,
    )


def test_one_wrong_bit_is_seen(tmp_path: Path) -> None:
    request = speckled(one_image(tmp_path))
    (path,) = written(request, OHIF, tmp_path)
    seg, content = dcmread(path), bytearray(path.read_bytes())
    content[content.index(seg.PixelData) + len(seg.PixelData) // 2] ^= 1
    path.write_bytes(content)
    (loaded,) = loader.load([Case(made.paths_of(request), path, (96, 80))], tmp_path)
    assert outcome(Tried(seg, computed(request, seg, made.paths_of(request)), loaded)) == "wrong pixels: Left lung"
