"""UIDs and tracking names that follow from what a result is made of, never from chance or the clock.

PS3.5 section B.2: a UUID, written as one decimal number under the root 2.25, is a UID.
"""

from __future__ import annotations

from datetime import UTC
from uuid import UUID, uuid5

from models.values.findings import BundleIdentity
from node.delivery.profiles import Profile
from node.dicom.kinds import ResultKind
from workers.results.request import ResultRequest

NAMESPACE = UUID("a1441d11-4509-44c7-a1d2-b2a99bc0d6ad")
"""Namespace of every UID that this project derives. Changing it changes every UID."""

_SEPARATOR = "|"


def derived_uid(*parts: str) -> str:
    """Return the UID that belongs to these parts: `2.25.` and the UUID (version 5) of their joined text."""
    return f"2.25.{uuid5(NAMESPACE, _SEPARATOR.join(parts)).int}"


def result_uid(request: ResultRequest, kind: ResultKind, profile: Profile, image_uid: str = "", part: str = "") -> str:
    """Return the SOP Instance UID of a result.

    Parameters
    ----------
    image_uid
        Source image of a result; empty for those of the whole study.
    part
        What tells several results of one kind and image apart: the bundle of a SEG, say.

    Notes
    -----
    The same request yields the same UID on every machine, so that a task that runs twice sends one object. A new
    revision, another set of images, other weights, another configuration or another profile yield another. So does
    another time of the request, because that stands in the object: one UID never names two different objects.
    """
    return derived_uid(
        request.named,
        ",".join(sorted(_source_uids(request))),
        ",".join(sorted(bundle.digest for bundle in request.bundles)),
        request.configuration_digest,
        f"{kind.value}/{profile.identity}/{image_uid}/{part}",
        str(request.revision),
        request.created_at.astimezone(UTC).isoformat(),
    )


def series_uid(
    study_instance_uid: str, kind: ResultKind, profile: Profile, *, part: str = "", image_uid: str = ""
) -> str:
    """Return the Series Instance UID of a result; it stays the same over revisions.

    A study has one SR series. A SEG has a series for each bundle and source image: viewers show only the last instance
    of a SEG series (OHIF #6243), and a SEG has one pixel grid.
    """
    return derived_uid("series", study_instance_uid, f"{kind.value}/{profile.name}/{image_uid}", part)


def device_uid(bundle: BundleIdentity, configuration_digest: str) -> str:
    """Return the Device UID (0018,1002) of an algorithm: another for other weights or settings (IHE AIR)."""
    return derived_uid("device", bundle.digest, configuration_digest)


def tracking_uid(study_instance_uid: str, image_uid: str, bundle: BundleIdentity, label: str) -> str:
    """Return the Tracking UID (0062,0021; DCM 112040) that one structure or finding has in SEG, SR and revisions."""
    return derived_uid("tracking", study_instance_uid, image_uid, bundle.name, label)


def tracking_id(label: str, image_name: str) -> str:
    """Return the Tracking ID (0062,0020; DCM 112039) that people read beside the Tracking UID."""
    return f"{label}, {image_name}"


def _source_uids(request: ResultRequest) -> set[str]:
    alone = {i.sop_instance_uid for i in request.images} | {d.sop_instance_uid for d in request.declined}
    in_series = (*(s.slices for s in request.series), *(d.images for d in request.declined_series))
    return alone.union(*in_series)
