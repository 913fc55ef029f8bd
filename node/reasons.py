"""Why an object or a study was not analysed: one closed vocabulary, written to the audit log and coded in the SR."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """A coded reason; the value is stable and appears in the database, the logs, and as code value in the SR."""

    # Declined from the header: the study is answered with this reason.
    NOT_A_RADIOGRAPH = "not-a-projection-radiograph"
    NOT_THE_CHEST = "body-part-not-chest"
    FOR_PROCESSING = "for-processing-not-for-presentation"
    LATERAL_VIEW = "view-not-frontal"
    MULTI_FRAME = "multi-frame"
    NOT_HUMAN = "not-a-human-patient"
    COLOUR_IMAGE = "colour-image"
    ENERGY_SUBTRACTION = "energy-subtraction-image"
    TOO_SMALL = "image-too-small"
    NOT_FOR_THIS_ANALYSIS = "not-of-the-kind-analysed"
    NO_RULE = "no-routing-rule"

    # Found when the study was complete: nothing of it is analysed.
    DIFFERENT_PATIENTS = "images-name-different-patients"

    # Found when a series was read: its images are not analysed.
    NO_VOLUME = "slices-make-no-volume"

    # Ignored: recorded, never answered.
    OWN_RESULT = "own-result"
    NOT_AN_IMAGE = "not-an-image"

    # Quarantined: the bytes are kept; the study is answered where its identity is known.
    MALFORMED = "malformed-object"
    TRUNCATED = "truncated-object"
    NO_PIXEL_DATA = "no-pixel-data"
    ABSURD_GEOMETRY = "absurd-rows-or-columns"
    INVALID_UID = "invalid-uid"
    IDENTITY_MISMATCH = "dataset-differs-from-announcement"
    TRANSFER_SYNTAX = "wrong-transfer-syntax"
    TOO_LARGE = "object-too-large"
    UNDECODABLE = "pixels-not-decodable"
    UID_CONFLICT = "same-uid-other-bytes"

    # Found when stored bytes were read: sound when they were received, and lost in the node. Sending them again helps.
    DAMAGED = "damaged-in-the-node"
    MISSING = "missing-in-the-node"

    # Found by the gate or by a bundle's intended use.
    NOT_A_CHEST = "not-a-frontal-chest-radiograph"
    LUNGS_IMPLAUSIBLE = "two-plausible-lungs-not-found"
    AGE_OUTSIDE_INTENDED_USE = "age-outside-intended-use"
    AGE_UNKNOWN = "age-unknown"
    VIEW_OUTSIDE_INTENDED_USE = "view-outside-intended-use"

    # Found by the classifier that decides whether a disease is outlined.
    NOT_FOUND_BY_CLASSIFIER = "not-found-by-classifier"
    CLASSIFIER_NOT_RUN = "classifier-not-run"

    # The node's own failure.
    ANALYSIS_FAILED = "analysis-failed"
    RESULT_WITHHELD = "result-withheld"


LOST = frozenset({Reason.DAMAGED, Reason.MISSING})
"""Reasons that are about the node's copy of an image, not about the image."""
