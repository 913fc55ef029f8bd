"""Errors of the models package, named for the decision that they cause."""

from __future__ import annotations


class ModelsError(Exception):
    """Root of what this package raises on purpose. None of it is worth a retry: the same input fails again."""


class Undecodable(ModelsError):
    """The file holds no image that can be shown as one radiograph; the message says why."""


class BundleRefused(ModelsError):
    """A bundle is incomplete, altered or of an unknown form, so nothing of it is run; the message says why."""
