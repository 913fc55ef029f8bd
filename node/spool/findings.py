"""Findings that workers keep: what the networks said of one image under one configuration, as opaque bytes.

They spare a network, and no more: one that is missing or damaged is computed again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from node.errors import SpoolFull
from node.spool import durable

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_VARIANT: Final = re.compile(r"[a-z-]{0,32}")


class FindingsStore:
    """The folder `root`, which `create` has made.

    Parameters
    ----------
    new_path
        Gives a path for an unfinished file on the same file system.
    """

    def __init__(self, root: Path, new_path: Callable[[], Path]) -> None:
        self._root, self._new_path = root, new_path

    @staticmethod
    def create(root: Path) -> None:
        """Make the folder where it does not exist."""
        durable.make_directory(root)

    def path(self, image_digest: str, configuration_digest: str, variant: str = "") -> Path:
        """Return where findings lie, whether they exist or not.

        Parameters
        ----------
        image_digest, configuration_digest
            SHA-256 in lower-case hexadecimal digits.
        variant
            What else was asked for; small letters and hyphens.

        Raises
        ------
        ValueError
            A digest or the variant has another form.
        """
        if not (_DIGEST.fullmatch(image_digest) and _DIGEST.fullmatch(configuration_digest)):
            raise ValueError("digests must be 64 lower-case hexadecimal digits")
        if not _VARIANT.fullmatch(variant):
            raise ValueError("a variant is made of small letters and hyphens")
        ending = f"-{variant}" if variant else ""
        return self._root / image_digest[:2] / f"{image_digest}-{configuration_digest[:32]}{ending}.findings"

    def read(self, image_digest: str, configuration_digest: str, variant: str = "") -> bytes | None:
        """Return what was kept; None where nothing was, or where it cannot be read."""
        try:
            return self.path(image_digest, configuration_digest, variant).read_bytes()
        except OSError:
            return None

    def write(self, content: bytes, image_digest: str, configuration_digest: str, variant: str = "") -> None:
        """Keep findings, in one step; those that were there are replaced.

        Raises
        ------
        SpoolFull
            They cannot be written.
        """
        path = self.path(image_digest, configuration_digest, variant)
        try:
            durable.make_directory(path.parent)
            durable.write_file(path, content, temporary=self._new_path())
        except OSError as error:
            raise SpoolFull(f"cannot keep the findings of an image: {error.strerror}") from error
