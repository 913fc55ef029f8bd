"""From the images of a study to its encoded results: decode, gate, find, segment, measure, encode.

Knows no queue and no database; `analyse` on the command line runs the same code as the workers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from models.bundle.store import Bundle
from models.errors import Undecodable
from models.image import pixels
from models.values.findings import ImageFindings
from node.delivery.profiles import Profile
from node.dicom.header import Header
from node.dicom.kinds import ResultKind
from node.errors import place_of
from node.reasons import Reason
from workers.jobs.runtime import Networks, configuration_digest
from workers.pipelines.study import Study, StudyImage
from workers.results.encode import encode
from workers.results.preflight import PreflightFailed
from workers.results.request import DeclinedImage, EncodedResult, Predecessor, ResultRequest, UseStatement
from workers.results.sources.radiographs import Radiographs
from workers.results.text.summary import summary
from workers.results.text.summary_form import Summary

if TYPE_CHECKING:
    from models.chest.analyser import ChestAnalyser


@dataclass(frozen=True)
class Withheld:
    """A result that must not be sent, as it failed its preflight, or that could not be made (`result` is None)."""

    profile: Profile
    result: EncodedResult | None
    faults: tuple[str, ...]


@dataclass(frozen=True)
class Analysis:
    """All that one run yields.

    Attributes
    ----------
    results
        One set for each profile asked for.
    left_out
        SOP Instance UIDs of images that no result speaks of, because images of the study name different patients.
    """

    request: ResultRequest
    results: tuple[tuple[Profile, EncodedResult], ...]
    withheld: tuple[Withheld, ...]
    undecodable: tuple[DeclinedImage, ...]
    timings_s: dict[str, float]
    summary: Summary
    left_out: tuple[str, ...] = ()


@dataclass
class Stopwatch:
    """Seconds spent in each stage, on the monotonic clock."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the block's duration to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def run(
    networks: Networks,
    study: Study,
    *,
    bundles: Sequence[str] | None,
    revision: int,
    created_at: datetime,
    profiles: Sequence[Profile],
    predecessors: Mapping[str, Sequence[Predecessor]] | None = None,
    answer_only: Reason | None = None,
    heat_maps: bool = False,
    urgent: bool = False,
    progress: Callable[[str], None] = lambda _stage: None,
) -> Analysis:
    """Analyse a study and encode its results.

    Where two images name different patients nothing is computed: only the images of the first one's patient are
    answered, so that no result is filed with a patient whose image it does not speak of.

    Parameters
    ----------
    predecessors
        Results of the revision before, by name of the profile.
    answer_only
        Nothing is computed; every image is answered with this reason.
    heat_maps
        Also a heat map of every finding that is present; they are made where a profile has Parametric Maps, too.
    urgent
        The study was routed as STAT.
    progress
        Called with the name of each stage as it begins.

    Raises
    ------
    BundleRefused, Misconfigured
        The networks cannot be loaded.
    PreflightFailed, ValueError
        Not even the answer that results were withheld can be made, or is fit to be sent.
    """
    heat_maps = heat_maps or any(profile.makes(ResultKind.PM) for profile in profiles)
    watch = Stopwatch()
    study, left_out = study.of_one_patient()
    declined = [DeclinedImage(i.sop_instance_uid, i.declined, i.detail) for i in study.images if i.declined]
    candidates = [image for image in study.images if image.declined is None]
    findings: list[ImageFindings] = []
    undecodable: list[DeclinedImage] = []
    chosen = networks.choose(bundles) if candidates and answer_only is None else ()
    if answer_only is not None:
        why = "the analysis could not be completed; the operator of the node has been informed in its log"
        declined += [DeclinedImage(image.sop_instance_uid, answer_only, why) for image in candidates]
    elif candidates:
        progress("load")
        with watch.stage("load"):
            analyser = networks.analyser(chosen)
        findings, undecodable = _analysed(analyser, candidates, watch, progress, heat_maps=heat_maps)
    request = ResultRequest(
        study_instance_uid=study.study_instance_uid,
        sources=study.sources,
        images=tuple(findings),
        declined=tuple(declined + undecodable),
        bundles=tuple(bundle.identity for bundle in chosen) if findings else (),
        configuration_digest=configuration_digest(networks.settings, chosen),
        revision=revision,
        created_at=created_at,
        intended_use=tuple(_intended_use(bundle) for bundle in chosen),
        urgent=urgent,
    )
    results: list[tuple[Profile, EncodedResult]] = []
    withheld: list[Withheld] = []
    for profile in profiles:
        progress("encode")
        with watch.stage("encode"):
            encoded, faulty = _encoded(request, profile, (predecessors or {}).get(profile.name, ()), study.radiographs)
        results += [(profile, result) for result in encoded]
        withheld += faulty
    return Analysis(
        request, tuple(results), tuple(withheld), tuple(undecodable), watch.seconds, summary(request), left_out
    )


def _analysed(
    analyser: ChestAnalyser,
    images: Sequence[StudyImage],
    watch: Stopwatch,
    progress: Callable[[str], None],
    *,
    heat_maps: bool,
) -> tuple[list[ImageFindings], list[DeclinedImage]]:
    """Return what the networks find in each image, and the images that cannot be decoded."""
    findings, undecodable = [], []
    for image in images:
        progress("decode")
        try:
            with watch.stage("decode"):
                header, radiograph = _read(image)
        except Undecodable as error:
            undecodable.append(DeclinedImage(image.sop_instance_uid, Reason.UNDECODABLE, str(error)))
            continue
        progress("infer")
        with watch.stage("infer"):
            findings.append(
                analyser.analyse(
                    radiograph,
                    sop_instance_uid=image.sop_instance_uid,
                    age_years=header.age_years,
                    view=header.view_position,
                    sex=header.sex,
                    heat_maps=heat_maps,
                )
            )
    return findings, undecodable


def _encoded(
    request: ResultRequest, profile: Profile, predecessors: Sequence[Predecessor], radiographs: Radiographs
) -> tuple[tuple[EncodedResult, ...], list[Withheld]]:
    """Encode the results of one profile; where one cannot be made or fails its preflight, none of them is sent.

    The study is then answered with that reason, and the results of other profiles are not touched by it.
    """
    try:
        return encode(request, profile=profile, predecessors=predecessors, radiographs=radiographs), []
    except PreflightFailed as failure:
        withheld = [Withheld(profile, result, faults) for result, faults in failure.faults]
        why = "a result object failed the node's own checks and was put aside; its operator has been informed"
    except (OSError, MemoryError):
        raise  # of the machine, not of this study: the job is tried again
    except Exception as error:  # an odd image may break one kind of object in any way: the others are still sent
        withheld = [Withheld(profile, None, (f"a result could not be made: {place_of(error)}",))]
        why = "a result object could not be made; the operator of the node has been informed"
    images = [image.sop_instance_uid for image in request.images]
    answer = replace(
        request,
        images=(),
        declined=(*request.declined, *(DeclinedImage(uid, Reason.RESULT_WITHHELD, why) for uid in images)),
    )
    return encode(answer, profile=profile, predecessors=predecessors, radiographs=radiographs), withheld


def _intended_use(bundle: Bundle) -> UseStatement:
    use = bundle.manifest.intended_use
    return UseStatement(
        bundle.manifest.name, use.statement, use.age_years_from, use.age_years_below, use.views, use.translations
    )


def _read(image: StudyImage) -> tuple[Header, pixels.Radiograph]:
    if image.header is None:
        raise Undecodable(image.unusable)
    return image.header, pixels.read(image.path)
