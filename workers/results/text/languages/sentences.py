"""Every sentence that results say in words, in English; other languages are tables with these as keys.

What comes from elsewhere is English, and stands as it is, as a statement of its own: notes on the pixels, a statement
of intended use whose manifest gives no other, a threshold's rule of an unknown form. Other languages have a detail only
where they have a term for it.
"""

from __future__ import annotations

from enum import StrEnum


class Sentence(StrEnum):
    """A sentence with placeholders; its value is the English text."""

    FINDING_PRESENT = (
        "{name}: present{where} (calibrated probability {probability}, at or above the threshold {threshold})"
    )
    FINDING_ABSENT = "{name}: absent (calibrated probability {probability}, below the threshold {threshold})"
    FINDING_INDETERMINATE = (
        "{name}: indeterminate{where} (calibrated probability {probability} lies between {low} and {high}, "
        "where the threshold of {threshold} is itself uncertain)"
    )
    DOUBT = (
        "The threshold is uncertain between {low} and {high}: for a probability in that range the finding is called "
        "indeterminate, neither present nor absent"
    )
    CALIBRATED = (
        "The probability is calibrated: among images like those of validation that were given the same one, it is the "
        "proportion that had the finding"
    )
    RULE_CHOSEN = "{how} on {images}: sensitivity {sensitivity}, specificity {specificity}"
    RULE_FIXED = (
        "fixed at {threshold}, not chosen by data; on {images} it reaches sensitivity {sensitivity}, "
        "specificity {specificity}"
    )
    RULE_SITE = "set by this site's configuration (manifest: {threshold}, rule {rule})"
    RULE_SITE_POINT = (
        "set by this site's configuration to the operating point {name}, rule {other} "
        "(manifest: {threshold}, rule {rule})"
    )
    RULE_SENSITIVITY = "highest threshold with sensitivity at least {least}"
    RULE_SPECIFICITY = "lowest threshold with specificity at least {least}"
    RULE_YOUDEN = "highest Youden index"
    RULE_YOUDEN_FLOOR = "highest Youden index among thresholds with sensitivity at least {least}"
    RULE_COST = "least cost, a missed positive counting {ratio} false alarms, at their prevalence,"
    RULE_COST_AT = "least cost, a missed positive counting {ratio} false alarms, at a prevalence of {prevalence},"
    RULE_IMAGES = "{count} validation images ({positive} positive)"
    RULE_IMAGES_FOLDS = "{count} training and validation (out of {folds} folds) images ({positive} positive)"
    ON_THE_RIGHT = "on the right"
    ON_THE_LEFT = "on the left"
    ON_BOTH_SIDES = "on both sides"
    ON_ANOTHER_SIDE = "on the side: {side}"
    NOT_OUTLINED = "{name}: no region was outlined{detail}"
    MEASUREMENT = "{name}: {amount}"
    NOT_FOUND_IN_SERIES = "{name}: not found in the series"
    ENDS = (
        "{name}: width along the patient's horizontal, from column {column_1}, row {row_1} to column {column_2}, "
        "row {row_2} of the source image (the upper left corner of its first pixel is column 0, row 0)"
    )
    RATIO_OF = (
        "{name}: widest extent of the heart over that of both lungs, each from outermost pixel to outermost pixel"
    )
    HEART_BOX = "Heart box: columns {x0} to {x1}, rows {y0} to {y1} of the source image"

    AT_THE_DETECTOR = "lengths and areas are at the detector, not calibrated for magnification"
    IN_PIXELS = "the pixel spacing is not known: lengths and areas are in pixels"
    IMPLAUSIBLE_MEASUREMENT = "{name} of {amount} is implausible: the pixel spacing of the source may be wrong"
    NO_REFERENCE = "image {position} of the study; it cannot be referenced because its UID is not valid"
    NOT_STORED = "found but not stored as a segmentation, which would have to reference the image: {found}"

    SPACING_CALIBRATED = "pixel spacing {rows} x {columns} mm, calibrated or corrected for magnification"
    SPACING_AT_DETECTOR = "pixel spacing {rows} x {columns} mm at the detector"
    SPACING_UNKNOWN = "no usable pixel spacing is given"
    PIXEL_GRID = "{rows} rows and {columns} columns"
    LOSSY = "the image was compressed with loss before it was received ({how}); fine detail may be missing"
    LOSSY_HOW_UNKNOWN = "method and ratio not given"
    LOSSY_METHOD = "method {method}"
    LOSSY_RATIO = "ratio {ratio}"
    NOT_LOSSY = "the image was not compressed with loss, as its header says"
    VIEW_AP = "AP view, often taken at the bedside: heart and mediastinum look larger than in a PA view"
    VIEW_PA = "PA view"
    VIEW_OTHER = "view {view}"
    VIEW_NOT_A_TERM = "view given is not a known one"
    VIEW_UNKNOWN = "view not given; in an AP view the heart looks larger than in a PA view"
    LUNGS_CUT_OFF = (
        "the lungs reach the edge of the image ({edges}): part of them may be missing, and areas and diameters may be "
        "too small"
    )
    LUNGS_COMPLETE = "the lungs do not reach the edge of the image"
    EDGE_TOP = "top"
    EDGE_BOTTOM = "bottom"
    EDGE_RIGHT = "the patient's right"
    EDGE_LEFT = "the patient's left"
    NOT_ASSESSED = "rotation, inspiration, exposure and motion were not assessed"

    SUPERSEDES = (
        "supersedes results of an earlier revision ({kinds}): what they show no longer holds, also where nothing takes "
        "their place. The archive may still have them"
    )
    NOTHING_SELECTED = "nothing is selected in revision {revision}; what an earlier revision selected no longer holds"
    ANALYSED = "analysed."
    ANALYSED_NOTHING_ASKED = "analysed; no finding was asked for."
    NOT_ANALYSED = "not analysed: {reason}."
    NOT_ANALYSED_UNREADABLE = "not analysed: {reason} (SOP Instance UID {uid}, not readable)."
    NOT_INTENDED = "not analysed: no algorithm is intended for this image."
    NOT_COMPUTED = "{name} not computed: {reason}."
    OF_IMAGE = "{image}: {text}"

    AGE_ASSUMED = (
        "The image gives no age of the patient; {age} years were assumed by a rule of this site. Findings that depend "
        "on the age may not hold"
    )
    INTENDED_AGES_FROM = "intended for ages from {first} years"
    INTENDED_AGES_BETWEEN = "intended for ages from {first} to under {end} years"
    INTENDED_VIEWS = "views {views}"
    FOOT = "Revision {revision}, {moment}; object {uid}"
    RESEARCH_ONLY = "Research use only - not for clinical use"
    LIMITS = (
        "{research_only}. Preliminary, made by software ({algorithms}) and not reviewed by a person. It may miss "
        "findings and may be wrong; what is not listed was not looked for."
    )
