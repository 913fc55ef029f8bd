"""Pipelines as receiving, intake and routing see them: what they take, what they decline, and when a study is whole.

A pipeline is an object that an entry point of the group `hilum.pipelines` names, in this distribution or in another one
that is installed beside it. Rules choose among them by the names of the entry points. What a worker asks of it besides
is in `workers.pipelines.protocol`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points
from typing import Protocol, runtime_checkable

from node.dicom.contexts import StorageClass
from node.dicom.header import Header
from node.errors import Misconfigured
from node.reasons import Reason
from node.settings import NO_PIPELINE, PIPELINES, CompletionSettings, Rule


@runtime_checkable
class EdgePipeline(Protocol):
    """What the always-on edge must know of a pipeline; importing it loads no network library."""

    @property
    def name(self) -> str:
        """What the entry point and the rules call it."""

    @property
    def takes(self) -> str:
        """What it analyses and what it declines, in sentences, for the conformance statement."""

    @property
    def storage_classes(self) -> tuple[StorageClass, ...]:
        """SOP classes that are accepted where a rule names the pipeline, besides those that are accepted anyway."""

    def decline(self, header: Header) -> tuple[Reason, str] | None:
        """Return why an image is not analysed, with what its header says; None: it is."""

    def completion(self, settings: CompletionSettings) -> CompletionSettings:
        """Return when a study for it counts as complete: never sooner than by the node's own settings."""


def installed() -> tuple[str, ...]:
    """Return the names that rules may give, in order."""
    return tuple(sorted(entry_points(group=PIPELINES).names))


@cache
def named(name: str) -> EdgePipeline:
    """Return the pipeline of this name.

    Raises
    ------
    Misconfigured
        There is none, or what its entry point names is none.
    """
    found = entry_points(group=PIPELINES, name=name)
    if not found:
        raise Misconfigured(f"no pipeline named {name!r} is installed; there are: {', '.join(installed()) or 'none'}")
    loaded = next(iter(found)).load()
    if not isinstance(loaded, EdgePipeline) or loaded.name != name:
        raise Misconfigured(f"the entry point {name!r} of {PIPELINES} names {loaded!r}, which is no such pipeline")
    return loaded


def storage_classes(rules: Iterable[Rule]) -> tuple[StorageClass, ...]:
    """Return the SOP classes that the pipelines of these rules take besides those that are accepted anyway."""
    names = {rule.pipeline for rule in rules} - {NO_PIPELINE}
    return tuple(dict.fromkeys(row for name in sorted(names) for row in named(name).storage_classes))
