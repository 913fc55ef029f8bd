"""Whose images a study holds: its results are filed with one patient, so all of its images must name that one.

Patient ID (0010,0020; PS3.3 section C.7.1.1) alone decides, because archives file by it. Names, birth dates and issuers
are spelt in many ways for one person and stop nothing. An image that names no patient is not known to be of one that
another image names, so that it counts as different.
"""

from __future__ import annotations

from collections.abc import Sequence

from workers.results.sources.source import Source

SEPARATED = "this report is filed with the patient of the image that came first, and speaks of no image of another"
"""What is said of each image of the first patient, after the reason; the languages' tables have it."""


def of_first_patient(sources: Sequence[Source | None]) -> tuple[bool, ...]:
    """Return of each image whether the results of its study may speak of it.

    Parameters
    ----------
    sources
        Headers of one study's images in the order in which they came, so that the first patient stays the same when
        more come; None for an image whose header cannot be read.

    Returns
    -------
    tuple of bool
        True for all where no two of them name different patients. Otherwise for those that name the patient of the
        first image with a header; one without is then nobody's.
    """
    named = [None if source is None else source.patient_id for source in sources]
    known = [patient for patient in named if patient is not None]
    if len(set(known)) < 2:
        return (True,) * len(named)
    return tuple(patient == known[0] for patient in named)
