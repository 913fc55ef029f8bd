"""What a worker asks of a pipeline, beside what the edge asks of it (`node.pipelines.Pipeline`).

A pipeline is a folder here, or in a distribution of its own, and an entry point of the group `hilum.pipelines`. Queue,
rows, stored findings, results, checks, deliveries and audit are the same for all of them: see `workers.pipelines.run`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from models.bundle.store import Bundle
from node import pipelines
from node.errors import HilumError, Misconfigured
from node.reasons import Reason
from workers.pipelines.study import Study, StudyImage
from workers.results.request import ResultRequest

if TYPE_CHECKING:
    from models.inference.runner import Dtype

F = TypeVar("F")


class NotAnalysable(HilumError):
    """The images of a unit cannot be analysed, for a reason that lies in them."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Unit:
    """What is computed at once: an image, or the images of a series.

    Attributes
    ----------
    digest
        SHA-256 in hex, of the images' content: names the findings that are kept.
    """

    images: tuple[StudyImage, ...]
    digest: str


@dataclass(frozen=True)
class Unanalysed:
    """An image for which nothing was computed, and why."""

    image: StudyImage
    reason: Reason
    detail: str


class Stages(Protocol):
    """Where a pipeline says what it is doing; the time of each stage is kept."""

    def __call__(self, name: str) -> AbstractContextManager[None]:
        """Begin a stage: `decode`, `infer`."""


@runtime_checkable
class Pipeline(pipelines.EdgePipeline, Protocol[F]):
    """A pipeline as workers see it. Its module loads torch and the like only within these functions."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks of the bundles that it runs (`models.bundle.manifest.Task`)."""

    @property
    def findings(self) -> type[F]:
        """The frozen dataclass that `find` returns; it is kept and read again by `workers.pipelines.stored`."""

    def choose(self, bundles: Sequence[Bundle], names: Sequence[str] | None) -> tuple[Bundle, ...]:
        """Return those of the installed bundles of its tasks that run where a rule gives these names.

        Raises
        ------
        Misconfigured
            The names do not go together.
        """

    def load(self, bundles: Sequence[Bundle], *, device: str, dtype: Dtype, threads: int) -> Any:
        """Return the networks of these bundles, warmed up; kept for the life of the process."""

    def units(self, images: Sequence[StudyImage]) -> tuple[Unit, ...]:
        """Return what is computed at once of the images that are to be analysed; each image is in one unit."""

    def find(self, networks: Any, unit: Unit, study: Study, stage: Stages, *, heat_maps: bool) -> F:
        """Compute the findings of a unit.

        Raises
        ------
        NotAnalysable
            For a reason that lies in the images.
        Undecodable
            Pixels cannot be decoded.
        OSError
            A file cannot be read.
        """

    def describe(self, request: ResultRequest, found: Sequence[F], unanalysed: Sequence[Unanalysed]) -> ResultRequest:
        """Return the request for the results with what was found and what was not analysed."""


def named(name: str) -> Pipeline[Any]:
    """Return the pipeline of this name, as workers see it.

    Raises
    ------
    Misconfigured
        There is none, or it is one for the edge only.
    """
    found = pipelines.named(name)
    if not isinstance(found, Pipeline):
        raise Misconfigured(f"pipeline {name!r} is one for the edge only: a worker cannot run it")
    return found
