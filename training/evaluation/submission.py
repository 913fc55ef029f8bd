"""Masks as run-length strings in a csv, as the SIIM-ACR challenge takes them; nothing is compared with a truth."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np

from models.bundle.store import Bundle
from models.image import rle
from models.image.rle import Dialect
from training.data.collection import Collection
from training.data.splits import Split
from training.evaluation.serving import Server
from training.evaluation.tasks import lesions
from training.evaluation.truths import case_of
from training.progress import ProgressFactory, silent

HEADER = ("ImageId", "EncodedPixels")


def write(
    bundle: Bundle,
    images: Collection,
    split: Split,
    path: Path,
    *,
    dialect: Dialect = Dialect.RELATIVE,
    dependencies: Path | None = None,
    progress: ProgressFactory = silent,
) -> int:
    """Write one row for each image of a split, on the challenge's grid; return how many have a mask.

    An image for which the bundle is not intended, or of which the classifier before it says no, has the row -1.

    Raises
    ------
    ValueError
        The bundle outlines no disease.
    """
    if bundle.manifest.task != "lesion-segmentation":
        raise ValueError(f"{bundle.manifest.name} outlines no disease; its task is {bundle.manifest.task}")
    server, label = Server(bundle, dependencies), bundle.manifest.labels[0].name
    ids, outlined = images.ids(split), 0
    with path.open("w", newline="") as file, progress(path.name) as on_progress:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for number, one in enumerate(ids, start=1):
            case = case_of(images.records[one], (label,), label)
            text = rle.EMPTY
            if not server.refused(case) and lesions.passes(server, case):
                rows, columns = rle.CHALLENGE_SHAPE
                served, mask = lesions.outlined(server, case.read())
                found = served.radiograph.to_source(mask).astype(np.uint8)
                square = cv2.resize(found, (columns, rows), interpolation=cv2.INTER_NEAREST) > 0
                text = rle.encode(square, dialect) if square.any() else rle.EMPTY
            outlined += text != rle.EMPTY
            writer.writerow((one, text))
            on_progress(number, len(ids))
    return outlined
