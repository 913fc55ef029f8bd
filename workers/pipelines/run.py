"""The way of a study through its pipeline: findings of each unit, kept or computed, then the results made of them.

Knows no queue and no database; `analyse` on the command line runs the same code as the workers.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

import structlog

from models.bundle.store import Bundle
from models.errors import Undecodable
from node.delivery.profiles import Profile
from node.dicom.kinds import ResultKind
from node.errors import SpoolFull, place_of
from node.reasons import Reason
from node.spool.findings import FindingsKey, FindingsStore
from workers.pipelines import stored
from workers.pipelines.faults import is_of_machine
from workers.pipelines.networks import Networks, configuration_digest
from workers.pipelines.protocol import NotAnalysable, Pipeline, Unanalysed, Unit
from workers.pipelines.study import Study, StudyImage
from workers.results.encode import encode
from workers.results.preflight import PreflightFailed
from workers.results.request import EncodedResult, Predecessor, ResultRequest, UseStatement
from workers.results.sources.radiographs import Radiographs
from workers.results.text.summary import summary
from workers.results.text.summary_form import Summary

log = structlog.get_logger()

F = TypeVar("F")


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
    failed
        Images of which nothing could be computed, though they were to be analysed.
    excluded
        SOP Instance UIDs of images that no result speaks of, because images of the study name different patients.
    computed
        How many units networks were run for; the findings of the others had been kept.
    """

    request: ResultRequest
    results: tuple[tuple[Profile, EncodedResult], ...]
    withheld: tuple[Withheld, ...]
    failed: tuple[Unanalysed, ...]
    timings_s: dict[str, float]
    summary: Summary
    excluded: tuple[str, ...] = ()
    computed: int = 0

    @property
    def undecodable(self) -> tuple[Unanalysed, ...]:
        """Images whose pixels could not be decoded."""
        return tuple(item for item in self.failed if item.reason is Reason.UNDECODABLE)


@dataclass
class Stopwatch:
    """Seconds spent in each stage, on the monotonic clock; `on_progress` hears of each stage as it begins."""

    on_progress: Callable[[str], None] = lambda _stage: None
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the block's duration to a stage."""
        self.on_progress(name)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


@dataclass(frozen=True)
class Asked:
    """What is asked about a study.

    Attributes
    ----------
    bundles
        Names of those to run, as in a rule; None for all that run unasked.
    profiles
        Each gets its own results.
    predecessors
        Results of the revision before, by name of the profile.
    report_only
        Nothing is computed; every image is answered with this reason.
    heat_maps
        Also a heat map of every finding that is present; they are made where a profile has Parametric Maps, too.
    opener
        Who opened the study, where another sender had opened one under its UID before; empty for the first.
    urgent
        The study was routed as STAT.
    assumed_age_years
        Age of patients whose images give none; None: it stays unknown.
    """

    created_at: datetime
    profiles: Sequence[Profile]
    bundles: Sequence[str] | None = None
    revision: int = 1
    predecessors: Mapping[str, Sequence[Predecessor]] = field(default_factory=dict)
    report_only: Reason | None = None
    heat_maps: bool = False
    opener: str = ""
    urgent: bool = False
    assumed_age_years: float | None = None


def run(
    pipeline: Pipeline[Any],
    networks: Networks,
    study: Study,
    asked: Asked,
    *,
    kept: FindingsStore | None = None,
    on_progress: Callable[[str], None] = lambda _stage: None,
) -> Analysis:
    """Analyse a study and encode its results.

    Where two images name different patients nothing is computed: only the images of the first one's patient are
    answered, so that no result is filed with a patient whose image it does not speak of. Where not even the answer that
    the analysis failed can be made of the headers, it is made without them.

    Parameters
    ----------
    kept
        Where findings are looked for and kept; None: every unit is computed.

    Raises
    ------
    BundleRefused, Misconfigured
        The networks cannot be loaded.
    PreflightFailed, ValueError
        Not even the answer that results were withheld can be made, or is fit to be sent.
    OSError, MemoryError
        A fault of the machine, as `workers.pipelines.faults` tells it from one of the study.
    """
    try:
        return _run(pipeline, networks, study, asked, kept=kept, on_progress=on_progress)
    except Exception as error:
        if asked.report_only is None or is_of_machine(error):
            raise
        # The last answer needs nothing that has failed: it names the images by the UIDs of their rows.
        log.error("answer.without_headers", error=place_of(error))
        return _run(pipeline, networks, study.without_headers(), asked, kept=kept, on_progress=on_progress)


def _run(
    pipeline: Pipeline[Any],
    networks: Networks,
    study: Study,
    asked: Asked,
    *,
    kept: FindingsStore | None,
    on_progress: Callable[[str], None],
) -> Analysis:
    watch = Stopwatch(on_progress)
    study, excluded = study.assuming(asked.assumed_age_years).of_one_patient()
    study = replace(study, radiographs=Radiographs(keep=_needs_pixels(asked.profiles)))
    candidates, unanalysed = _judged(pipeline, study, asked.report_only)
    chosen = networks.choose(pipeline, asked.bundles) if candidates else ()
    finder = _Finder(pipeline, networks, chosen, kept, heat_maps=_wants_heat_maps(asked))
    found, failed = finder.find(study, candidates, watch)
    unanalysed += failed
    request = ResultRequest(
        study_instance_uid=study.study_instance_uid,
        sources=study.sources,
        images=(),
        declined=(),
        bundles=tuple(bundle.identity for bundle in chosen) if found else (),
        configuration_digest=finder.configuration_digest,
        revision=asked.revision,
        created_at=asked.created_at,
        intended_use=tuple(_intended_use(bundle) for bundle in chosen),
        urgent=asked.urgent,
        opener=asked.opener,
        assumed_age_years=_assumed(study),
    )
    described = pipeline.describe(request, [findings for _, findings in found], unanalysed)
    results: list[tuple[Profile, EncodedResult]] = []
    withheld: list[Withheld] = []

    def answer(why: str) -> ResultRequest:
        analysed = (Unanalysed(image, Reason.RESULT_WITHHELD, why) for unit, _ in found for image in unit.images)
        return pipeline.describe(request, (), (*unanalysed, *analysed))

    for profile in asked.profiles:
        with watch.stage("encode"):
            encoded, faulty = _encoded(described, answer, profile, asked.predecessors.get(profile.name, ()), study)
        results += [(profile, result) for result in encoded]
        withheld += faulty
    return Analysis(
        request=described,
        results=tuple(results),
        withheld=tuple(withheld),
        failed=tuple(failed),
        timings_s=watch.seconds,
        summary=summary(described),
        excluded=excluded,
        computed=finder.computed,
    )


def _wants_heat_maps(asked: Asked) -> bool:
    return asked.heat_maps or any(profile.makes(ResultKind.PM) for profile in asked.profiles)


def _needs_pixels(profiles: Sequence[Profile]) -> bool:
    """Return whether some result shows the image itself."""
    return any(profile.makes(kind) for profile in profiles for kind in (ResultKind.SC, ResultKind.PR, ResultKind.DOC))


def _judged(
    pipeline: Pipeline[Any], study: Study, report_only: Reason | None
) -> tuple[list[StudyImage], list[Unanalysed]]:
    """Return the images to analyse, and the others with the reason.

    An image that was accepted for another pipeline, by another rule than its study's, is judged by this one.
    """
    candidates: list[StudyImage] = []
    declined: list[Unanalysed] = []
    for image in study.images:
        if image.declined is not None:
            declined.append(Unanalysed(image, image.declined, image.detail))
        elif image.header is not None and (why := pipeline.decline(image.header)) is not None:
            declined.append(Unanalysed(image, *why))
        else:
            candidates.append(image)
    if report_only is None:
        return candidates, declined
    why_not = "the analysis could not be completed; the operator of the node has been informed in its log"
    return [], [*declined, *(Unanalysed(image, report_only, why_not) for image in candidates)]


class _Finder:
    """The findings of units: those that were kept under this configuration, or else computed and kept."""

    def __init__(
        self,
        pipeline: Pipeline[F],
        networks: Networks,
        chosen: Sequence[Bundle],
        kept: FindingsStore | None,
        *,
        heat_maps: bool,
    ) -> None:
        self._pipeline, self._networks, self._chosen, self._kept = pipeline, networks, chosen, kept
        self._heat_maps = heat_maps
        self.configuration_digest = configuration_digest(networks.settings.dtype, chosen)
        self.computed = 0

    def find(
        self, study: Study, images: Sequence[StudyImage], watch: Stopwatch
    ) -> tuple[list[tuple[Unit, Any]], list[Unanalysed]]:
        """Return each unit with its findings, and the images for which there are none."""
        found: list[tuple[Unit, Any]] = []
        failed: list[Unanalysed] = []
        for unit in self._pipeline.units(images):
            try:
                found.append((unit, self._read(unit) or self._compute(study, unit, watch)))
            except NotAnalysable as error:
                failed += [Unanalysed(image, error.reason, error.detail) for image in unit.images]
            except Undecodable as error:
                failed += [Unanalysed(image, Reason.UNDECODABLE, str(error)) for image in unit.images]
        return found, failed

    def _read(self, unit: Unit) -> Any | None:
        """Return findings that were kept; damaged ones, and those that lack wanted heat maps, are as good as none."""
        key = self._key(unit)
        content = None if self._kept is None else self._kept.read(key)
        if content is None:
            return None
        try:
            return stored.decoded(content, self._pipeline.findings, key, heat_maps=self._heat_maps)
        except stored.Unusable as error:
            log.warning("findings.unusable", why=str(error))
            return None

    def _compute(self, study: Study, unit: Unit, watch: Stopwatch) -> Any:
        with watch.stage("load"):
            networks = self._networks.loaded(self._pipeline, self._chosen)
        findings = self._pipeline.find(networks, unit, study, watch.stage, heat_maps=self._heat_maps)
        self.computed += 1
        if self._kept is not None:
            try:
                key = self._key(unit)
                self._kept.write(stored.encoded(findings, key, heat_maps=self._heat_maps), key)
            except SpoolFull as error:  # the job goes on; only a repetition will have to compute again
                log.warning("findings.not_kept", why=str(error))
        return findings

    def _key(self, unit: Unit) -> FindingsKey:
        """Name the findings of a unit; those of an assumed age are those of another configuration."""
        configuration = self.configuration_digest
        age = next((image.assumed_age_years for image in unit.images if image.assumed_age_years), None)
        if age is not None:
            configuration = hashlib.sha256(f"{configuration} age {age:g}".encode()).hexdigest()
        return FindingsKey(self._pipeline.name, unit.digest, configuration)


def _assumed(study: Study) -> float | None:
    """Return the age that was assumed of an image that was to be analysed; None: of none."""
    return next((i.assumed_age_years for i in study.images if i.assumed_age_years and i.declined is None), None)


def _encoded(
    request: ResultRequest,
    answer: Callable[[str], ResultRequest],
    profile: Profile,
    predecessors: Sequence[Predecessor],
    study: Study,
) -> tuple[tuple[EncodedResult, ...], list[Withheld]]:
    """Encode the results of one profile; where one cannot be made or fails its preflight, none of them is sent.

    The study is then answered with that reason, and the results of other profiles are not touched by it.
    """
    try:
        return (
            encode(request, profile=profile, predecessors=predecessors, radiographs=study.radiographs),
            [],
        )
    except PreflightFailed as failure:
        withheld = [Withheld(profile, result, faults) for result, faults in failure.faults]
        why = "a result object failed the node's own checks and was put aside; its operator has been informed"
    except Exception as error:  # an odd image may break one kind of object in any way: the others are still sent
        if is_of_machine(error):
            raise  # not of this study: the job is tried again
        withheld = [Withheld(profile, None, (f"a result could not be made: {place_of(error)}",))]
        why = "a result object could not be made; the operator of the node has been informed"
    answered = encode(answer(why), profile=profile, predecessors=predecessors, radiographs=study.radiographs)
    return answered, withheld


def _intended_use(bundle: Bundle) -> UseStatement:
    use = bundle.manifest.intended_use
    return UseStatement(
        bundle.manifest.name, use.statement, use.age_years_from, use.age_years_below, use.views, use.translations
    )
