"""Which segments of an image go into one Segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.values.findings import ImageFindings, Segment
from node.delivery.profiles import Profile
from workers.results.text.wording import display_name


@dataclass(frozen=True)
class SegmentSet:
    """The segments of one object: of one bundle, and in a label map no two in one pixel.

    `name` tells the objects of an image apart: the bundle, with a number or after the segment where it has several.
    """

    name: str
    segments: tuple[Segment, ...]


def segment_sets(image: ImageFindings, profile: Profile) -> tuple[SegmentSet, ...]:
    """Return the objects that the segments of an image make, in the order of their first segments."""
    if profile.split_segments and profile.segmentation == "BINARY" and any(s.mask.size % 16 for s in image.segments):
        return tuple(SegmentSet(f"{display_name(s.label).lower()}, {s.bundle.name}", (s,)) for s in image.segments)
    by_bundle: dict[str, list[list[Segment]]] = {}
    for segment in image.segments:
        groups = by_bundle.setdefault(segment.bundle.name, [])
        fitting = (group for group in groups if profile.segmentation == "BINARY" or not _meets(segment, group))
        group = next(fitting, None)
        if group is None:
            groups.append([segment])
        else:
            group.append(segment)
    return tuple(
        SegmentSet(name if number == 1 else f"{name} {number}", tuple(group))
        for name, groups in by_bundle.items()
        for number, group in enumerate(groups, start=1)
    )


def _meets(segment: Segment, group: Sequence[Segment]) -> bool:
    return any(bool((segment.mask & other.mask).any()) for other in group)
