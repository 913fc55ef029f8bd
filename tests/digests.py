"""SHA-256 of what encoding gives for known requests, to be compared between processes, machines and Python versions.

`python -m tests.digests FOLDER` writes its sources into FOLDER and prints one JSON object.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from models import codes
from models.findings import HeatMap
from node.profiles import BUILT_IN, OHIF, STRICT, Profile
from node.reasons import Reason
from tests import result_requests as made
from tests import sources
from tests.encoded import one_image
from workers.objects.encode import encode
from workers.objects.request import DeclinedImage, Predecessor, ResultRequest

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
            found[f"{name}/{profile.name}"] = [f"{r.kind} {r.sha256}" for r in results]
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(digests(Path(sys.argv[1]))))
