"""Whose images a study holds: its results are filed with one patient, so all of its images must name that one.

Patient ID (0010,0020; PS3.3 section C.7.1.1) alone decides, because archives file by it. Names, birth dates and issuers
are spelt in many ways for one person and stop nothing. An image that names no patient is not known to be of one that
another image names, so that it counts as different.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workers.results.sources.source import read_sources

SEPARATED = "this report is filed with the patient of the image that came first, and speaks of no image of another"
"""What is said of each image of the first patient, after the reason; the languages' tables have it."""


def of_first_patient(paths: Sequence[Path]) -> frozenset[Path]:
    """Return the files that the results of a study may speak of: all, where no two of them name different patients.

    Parameters
    ----------
    paths
        Part 10 files of one study, in the order in which they came: the first patient stays the same when more come.

    Returns
    -------
    frozenset of Path
        Where two name different patients, those that name the patient of the first file whose header can be read. A
        file whose header cannot be read is then nobody's, and left out.

    Raises
    ------
    OSError
        A file is missing or cannot be read.
    """
    named = {path: source.patient_id for path in paths for source in read_sources([path])}
    if len(set(named.values())) < 2:
        return frozenset(paths)
    first = next(iter(named.values()))
    return frozenset(path for path, patient in named.items() if patient == first)
