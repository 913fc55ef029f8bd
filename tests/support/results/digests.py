"""SHA-256 of what encoding gives for known requests, to be compared between processes, machines, Python versions and
revisions of this code.

`python -m tests.support.results.digests FOLDER` writes its sources into FOLDER and prints one JSON object. `python -m
tests.support.results.digests --golden` writes tests/golden/results.json anew: only for a commit that says why results
change.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.values import codes
from models.values.findings import HeatMap, ImageFindings, NotComputedReason
from node.delivery.profiles import BUILT_IN, OHIF, STRICT, Profile
from node.reasons import Reason
from tests.support.data import sources
from tests.support.paths import GOLDEN
from tests.support.results import optional_results
from tests.support.results import result_requests as made
from tests.support.results.encoded import one_image
from workers.results.encode import encode, encode_volume
from workers.results.request import DeclinedImage, EncodedResult, Predecessor, ResultRequest
from workers.results.text.summary import summary

DIGESTS = GOLDEN / "results.json"
LIBRARIES = (
    "highdicom",
    "pydicom",
    "numpy",
    "matplotlib",
    "opencv-python-headless",
    "pillow",
    "pylibjpeg-openjpeg",
    "pylibjpeg-rle",
)
"""Libraries whose version decides about bytes."""

DEFLATED = Profile(name="deflated", compression="deflated", language="de")


def _analysed(folder: Path) -> ResultRequest:
    return one_image(folder, sop_class=sources.CR, rows=120, columns=99)


def _with_disease(folder: Path) -> ResultRequest:
    image = made.with_pneumothorax(made.image(sources.uid(2), 128, 96), codes.LEFT)
    values = np.linspace(0, 1, 128 * 96, dtype=np.float32).reshape(128, 96)
    finding = image.findings[0]
    image = replace(image, heat_maps=(HeatMap(finding.label, finding.bundle, values),))
    path = sources.source(folder, number=2, rows=128, columns=96)
    return replace(made.diseases((path,), image), urgent=True)


def _declined(folder: Path) -> ResultRequest:
    declined = DeclinedImage(sources.uid(3), Reason.LATERAL_VIEW, "View Position is LL.")
    return made.request((sources.source(folder, number=3),), (), declined)


REQUESTS: dict[str, tuple[Callable[[Path], ResultRequest], tuple[Profile, ...]]] = {
    "analysed": (_analysed, (OHIF, STRICT)),
    "with-disease": (_with_disease, (BUILT_IN["complete"], BUILT_IN["compressed"], BUILT_IN["labelmap"], DEFLATED)),
    "declined": (_declined, (OHIF,)),
}


def digests(folder: Path) -> dict[str, list[str]]:
    """Return kind and SHA-256 of every result, by request and profile, and of a second revision."""
    found = {}
    for name, (make, profiles) in REQUESTS.items():
        request = make(folder)
        for profile in profiles:
            results = encode(request, profile=profile)
            if profile == OHIF:
                earlier = [Predecessor(r.sop_class_uid, r.sop_instance_uid, r.series_instance_uid) for r in results]
                results += encode(replace(request, revision=2), profile=profile, predecessors=earlier)
            found[f"{name}/{profile.name}"] = [f"{r.kind} {hashlib.sha256(r.content).hexdigest()}" for r in results]
    return found


def golden() -> dict[str, list[str]]:
    """Return the digests of a wide set of inputs: kinds of source, finding, answer, language, profile, and volumes."""
    from tests.support.results import mr_requests  # needs torch, which the second Python does not have

    found = {}
    for name, make in (*optional_results.CASES.items(), *_ANSWERS.items()):
        with tempfile.TemporaryDirectory() as folder:
            request = make(Path(folder))
            text = json.dumps(summary(request), sort_keys=True)
            found[f"{name}/summary"] = [hashlib.sha256(text.encode()).hexdigest()]
            for profile in (
                (BUILT_IN["complete"], OHIF) if name in optional_results.CASES else (*BUILT_IN.values(), FRENCH)
            ):
                found[f"{name}/{profile.name}"] = [_line(result) for result in encode(request, profile=profile)]
    with tempfile.TemporaryDirectory() as folder:
        found.update(digests(Path(folder)))
    for name, values in mr_requests.CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            request, _, _ = mr_requests.request_of(Path(folder), **values)
            found[f"volume-{name}"] = [_line(encode_volume(request))]
    return found


def versions() -> dict[str, str]:
    """Return the versions of the libraries whose version decides about bytes."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


def _line(result: EncodedResult) -> str:
    return f"{result.kind} {result.sop_instance_uid} {hashlib.sha256(result.content).hexdigest()}"


def _answer(change: Callable[[ImageFindings], ImageFindings]) -> Callable[[Path], ResultRequest]:
    def request(folder: Path) -> ResultRequest:
        path = sources.source(folder, rows=97, columns=84)
        return made.diseases((path,), change(made.image(sources.uid(), 97, 84)))

    return request


def _two_images(folder: Path) -> ResultRequest:
    paths = tuple(sources.source(folder, number=n, sop_class=sources.CR) for n in (1, 2))
    second = made.with_pneumothorax(made.image(sources.uid(2)), codes.RIGHT)
    return made.with_site_thresholds(made.diseases(paths, made.image(sources.uid(1)), second))


FRENCH = Profile(name="french", objects=tuple(BUILT_IN["complete"].objects), language="fr", text_report=True)
_ANSWERS: dict[str, Callable[[Path], ResultRequest]] = {
    "uncertain": _answer(made.with_doubt),
    "not-outlined": _answer(made.with_pneumothorax_not_outlined),
    "bilateral": _answer(lambda image: made.with_pneumothorax(image, codes.BILATERAL)),
    "outline-not-computed": _answer(
        lambda image: made.with_outline_not_computed(image, NotComputedReason.NOT_FOUND_BY_CLASSIFIER)
    ),
    "no-segments": _answer(made.without_segments),
    "no-chest": _answer(lambda image: made.refused(image.sop_instance_uid)),
    "two-images": _two_images,
    "lateral": _declined,
}


if __name__ == "__main__":
    if sys.argv[1:] == ["--golden"]:
        DIGESTS.parent.mkdir(exist_ok=True)
        DIGESTS.write_text(json.dumps({"versions": versions(), "results": golden()}, indent=1, sort_keys=True) + "\n")
    else:
        sys.stdout.write(json.dumps(digests(Path(sys.argv[1]))))
