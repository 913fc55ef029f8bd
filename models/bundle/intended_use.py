"""Whether a bundle may be asked about an image: age and view against its manifest."""

from __future__ import annotations

from models.bundle.manifest import IntendedUse, Task
from models.bundle.store import Bundle
from models.values.findings import NotComputed, NotComputedReason

# PS3.3 C.8.11.5 and C.8.1.2, View Position (0018,5101): frontal views.
FRONTAL_VIEWS = ("PA", "AP")
# What a chest radiograph may be given to; bundles of other tasks (MR volumes, experiments) are not for it.
CHEST_TASKS: tuple[Task, ...] = ("segmentation", "classification", "lesion-segmentation")
# Every other view that the node declines, and the ways of writing it: a test holds both tables equal.
OTHER_VIEWS = (
    *("LL", "RL", "LLD", "RLD", "LLO", "RLO", "LAO", "RAO", "LPO", "RPO"),
    *("LAT", "LATERAL", "LLAT", "RLAT", "ML", "LM", "OBL", "OBLIQUE"),
)


def refusal(bundle: Bundle, *, age_years: float | None, view: str | None) -> NotComputed | None:
    """Return why `bundle` is not to be run on an image, or None.

    `age_years` and `view` (View Position) are None when unknown. An unknown view is left to the gate.
    """
    use = bundle.manifest.intended_use
    name = bundle.manifest.name
    if age_years is None:
        if not use.age_unknown_allowed:
            detail = f"age unknown, intended for {age_range(use)}"
            return NotComputed(bundle.identity, name, NotComputedReason.AGE_UNKNOWN, detail)
    elif not _in_range(age_years, use):
        # The age itself is the patient's: it is not repeated.
        detail = f"intended for {age_range(use)}"
        return NotComputed(bundle.identity, name, NotComputedReason.AGE_OUTSIDE_INTENDED_USE, detail)
    if view and view.upper() not in use.views:
        # A view that is no term is free text of the sender: it is not repeated.
        known = view.upper() in (*FRONTAL_VIEWS, *OTHER_VIEWS)
        detail = f"{f'view {view}' if known else 'another view'}, intended for {', '.join(use.views)}"
        return NotComputed(bundle.identity, name, NotComputedReason.VIEW_OUTSIDE_INTENDED_USE, detail)
    return None


def age_range(use: IntendedUse) -> str:
    """Say the age range in words."""
    if use.age_years_below is None:
        return f"ages from {use.age_years_from:g} years"
    return f"ages from {use.age_years_from:g} to under {use.age_years_below:g} years"


def _in_range(age_years: float, use: IntendedUse) -> bool:
    """Return whether an age lies within the range; its upper end is exclusive."""
    return age_years >= use.age_years_from and (use.age_years_below is None or age_years < use.age_years_below)
