"""Chest radiographs as a pipeline. The always-on edge imports this module, so networks are imported where they run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from node.dicom.contexts import StorageClass
from node.dicom.header import Header
from node.reasons import Reason
from node.settings import CompletionSettings
from workers.pipelines.chest import eligibility

if TYPE_CHECKING:
    from models.bundle.store import Bundle
    from models.chest.analyser import ChestAnalyser
    from models.inference.runner import Dtype
    from models.values.findings import ImageFindings
    from workers.pipelines.protocol import Stages, Unanalysed, Unit
    from workers.pipelines.study import Study, StudyImage
    from workers.results.request import ResultRequest


class ChestPipeline:
    """Frontal radiographs of the human chest, image by image."""

    name: Final = "chest"
    takes: Final = (
        "Analysed are frontal chest radiographs. Not analysed, and answered: other modalities and body parts, lateral "
        "and oblique views, raw data, several frames, colour, energy subtraction, animals, under "
        f"{eligibility.MINIMUM_SIDE} rows or columns."
    )
    storage_classes: tuple[StorageClass, ...] = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """Segmentation of lungs and heart, classification, and lesions."""
        from models.bundle.intended_use import CHEST_TASKS

        return CHEST_TASKS

    @property
    def findings(self) -> type[ImageFindings]:
        """What is kept of an image."""
        from models.values.findings import ImageFindings

        return ImageFindings

    def decline(self, header: Header) -> tuple[Reason, str] | None:
        """Return why an image is not analysed; None: it is."""
        return eligibility.decline(header)

    def completion(self, settings: CompletionSettings) -> CompletionSettings:
        """Return the node's own settings: an image more only makes another revision."""
        return settings

    def choose(self, bundles: Sequence[Bundle], names: Sequence[str] | None) -> tuple[Bundle, ...]:
        """Return the named bundles and the one that the gate looks through, or all but those that must be named."""
        if names is None:
            return tuple(bundle for bundle in bundles if not bundle.manifest.only_by_name)
        return tuple(b for b in bundles if b.manifest.name in names or b.manifest.gate is not None)

    def load(self, bundles: Sequence[Bundle], *, device: str, dtype: Dtype, threads: int) -> ChestAnalyser:
        """Return the analyser of these bundles, warmed up, with the decoder of compressed pixels on its way."""
        from models.chest.analyser import ChestAnalyser
        from models.image.decode import DECODER

        DECODER.start()
        analyser = ChestAnalyser.load(bundles, device=device, dtype=dtype, threads=threads)
        analyser.warm_up()
        return analyser

    def units(self, images: Sequence[StudyImage]) -> tuple[Unit, ...]:
        """Return each image for itself."""
        from workers.pipelines.protocol import Unit

        return tuple(Unit((image,), image.digest) for image in images)

    def find(
        self, networks: ChestAnalyser, unit: Unit, study: Study, stage: Stages, *, heat_maps: bool
    ) -> ImageFindings:
        """Decode one image and run the networks on it.

        Raises
        ------
        NotAnalysable
            Its header cannot be used.
        Undecodable
            It cannot be decoded.
        """
        from workers.pipelines.protocol import NotAnalysable

        (image,) = unit.images
        if image.header is None or image.source is None:
            raise NotAnalysable(
                Reason.MALFORMED, image.unusable or "the object has no header that results could refer to"
            )
        with stage("decode"):
            radiograph = study.radiographs.of(image.source)
        with stage("infer"):
            return networks.analyse(
                radiograph,
                sop_instance_uid=image.sop_instance_uid,
                age_years=image.header.age_years,
                view=image.header.view_position,
                sex=image.header.sex,
                heat_maps=heat_maps,
            )

    def describe(
        self, request: ResultRequest, found: Sequence[ImageFindings], unanalysed: Sequence[Unanalysed]
    ) -> ResultRequest:
        """Return the request with the findings of each image, and each image that has none."""
        from workers.results.request import DeclinedImage

        declined = tuple(DeclinedImage(item.image.sop_instance_uid, item.reason, item.detail) for item in unanalysed)
        return replace(request, images=tuple(found), declined=declined)


PIPELINE: Final = ChestPipeline()
