"""MR series as a pipeline. The always-on edge imports this module, so networks are imported where they run."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from node.dicom.contexts import StorageClass
from node.dicom.header import Header
from node.errors import Misconfigured
from node.reasons import Reason
from node.settings import CompletionSettings
from workers.pipelines.atrium import eligibility

if TYPE_CHECKING:
    from models.bundle.store import Bundle
    from models.inference.runner import Dtype
    from models.volume.atrium import VolumeAnalyser
    from workers.pipelines.protocol import Stages, Unanalysed, Unit
    from workers.pipelines.study import Study, StudyImage
    from workers.results.request import ResultRequest, SeriesFindings

DEFAULT_BUNDLE: Final = "atrium-3d"
"""What runs where a rule names no bundle."""

RELEASE_S: Final = 10.0
"""Least seconds without a new slice before a study is complete: scanners send a series over several associations."""


class AtriumPipeline:
    """The left atrium in each MR series of a study."""

    name: Final = "atrium"
    takes: Final = (
        "Analysed are MR series of one frame a file whose slices are parallel, alike, complete and evenly spaced. Not "
        "analysed, and answered: other modalities, several frames, animals, series of fewer than eight slices or with "
        "gaps."
    )
    storage_classes: tuple[StorageClass, ...] = (eligibility.MR_IMAGE,)
    tasks: tuple[str, ...] = ("volume-segmentation",)

    @property
    def findings(self) -> type[SeriesFindings]:
        """What is kept of a series."""
        from workers.results.request import SeriesFindings

        return SeriesFindings

    def decline(self, header: Header) -> tuple[Reason, str] | None:
        """Return why an image is not analysed; None: it is."""
        return eligibility.decline(header)

    def completion(self, settings: CompletionSettings) -> CompletionSettings:
        """Return settings that wait for the rest of a series."""
        return settings.model_copy(update={"release_s": max(settings.release_s, RELEASE_S)})

    def choose(self, bundles: Sequence[Bundle], names: Sequence[str] | None) -> tuple[Bundle, ...]:
        """Return the one bundle that a rule names, or the default.

        Raises
        ------
        Misconfigured
            A rule names two, or the default is not installed.
        """
        wanted = tuple(names or (DEFAULT_BUNDLE,))
        if len(wanted) != 1:
            raise Misconfigured(f"the atrium pipeline runs one bundle, a rule names {', '.join(wanted)}")
        found = tuple(bundle for bundle in bundles if bundle.manifest.name in wanted)
        if not found:
            known = ", ".join(bundle.manifest.name for bundle in bundles) or "none"
            raise Misconfigured(f"no bundle for MR series named {wanted[0]}; there are: {known}")
        return found

    def load(self, bundles: Sequence[Bundle], *, device: str, dtype: Dtype, threads: int) -> VolumeAnalyser:
        """Return the analyser of the bundle."""
        import torch

        from models.volume.atrium import VolumeAnalyser

        if threads > 0:
            torch.set_num_threads(threads)
        (bundle,) = bundles
        return VolumeAnalyser(bundle, device=device, dtype=dtype)

    def units(self, images: Sequence[StudyImage]) -> tuple[Unit, ...]:
        """Return the images of each series; the order in which they came decides nothing."""
        from workers.pipelines.protocol import Unit

        series: dict[str, list[StudyImage]] = defaultdict(list)
        for image in images:
            series[_series_of(image)].append(image)
        units = []
        for members in series.values():
            ordered = sorted(members, key=lambda image: image.sop_instance_uid)
            digest = hashlib.sha256("\n".join(sorted(image.digest for image in ordered)).encode()).hexdigest()
            units.append(Unit(tuple(ordered), digest))
        return tuple(units)

    def find(
        self, networks: VolumeAnalyser, unit: Unit, study: Study, stage: Stages, *, heat_maps: bool
    ) -> SeriesFindings:
        """Read one series as a volume and run the network on it.

        Raises
        ------
        NotAnalysable
            The slices make no volume.
        """
        from models.volume import series as mr
        from workers.pipelines.protocol import NotAnalysable
        from workers.results.request import SeriesFindings

        try:
            with stage("decode"):
                series = mr.read([image.path for image in unit.images])
        except mr.SeriesRefused as error:
            raise NotAnalysable(Reason.NO_VOLUME, str(error)) from error
        with stage("infer"):
            findings = networks.analyse(series)
        return SeriesFindings(
            series_instance_uid=series.series_instance_uid,
            slices=tuple(one.sop_instance_uid for one in series.slices),
            slice_distance_mm=series.spacing_mm[0],
            findings=findings,
        )

    def describe(
        self, request: ResultRequest, found: Sequence[SeriesFindings], unanalysed: Sequence[Unanalysed]
    ) -> ResultRequest:
        """Return the request with the findings of each series, and one answer for each series that has none."""
        from workers.results.request import DeclinedSeries

        alike: dict[tuple[str, Reason, str], list[str]] = defaultdict(list)
        for item in unanalysed:
            alike[_series_of(item.image), item.reason, item.detail].append(item.image.sop_instance_uid)
        declined = tuple(
            DeclinedSeries(uid, tuple(images), reason, detail) for (uid, reason, detail), images in alike.items()
        )
        return replace(request, series=tuple(found), declined_series=declined)


def _series_of(image: StudyImage) -> str:
    """Return the Series Instance UID; an image without a usable header stands for itself."""
    return image.sop_instance_uid if image.header is None else image.header.series_instance_uid


PIPELINE: Final = AtriumPipeline()
