"""Findings that workers keep: what the networks said of one image under one configuration, as opaque bytes.

They spare a network, and no more: one that is missing or damaged is computed again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.errors import SpoolFull
from node.spool import durable

SHA256: Final = re.compile(r"[0-9a-f]{64}")
"""A SHA-256 in lower-case hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class FindingsKey:
    """What findings were made of: where one of these differs, so do the findings.

    Attributes
    ----------
    pipeline
        Name of the pipeline.
    unit_digest, configuration_digest
        SHA-256 in lower-case hexadecimal digits.
    """

    pipeline: str
    unit_digest: str
    configuration_digest: str

    def __post_init__(self) -> None:
        if not (SHA256.fullmatch(self.unit_digest) and SHA256.fullmatch(self.configuration_digest)):
            raise ValueError("digests must be 64 lower-case hexadecimal digits")


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

    def path(self, key: FindingsKey) -> Path:
        """Return where findings lie, whether they exist or not: by the unit, then by everything else."""
        rest = hashlib.sha256(f"{key.pipeline}|{key.configuration_digest}".encode()).hexdigest()
        return self._root / key.unit_digest[:2] / f"{key.unit_digest}-{rest[:32]}.findings"

    def read(self, key: FindingsKey) -> bytes | None:
        """Return what was kept; None where nothing was, or where it cannot be read."""
        try:
            return self.path(key).read_bytes()
        except OSError:
            return None

    def write(self, content: bytes, key: FindingsKey) -> None:
        """Keep findings, in one step; those that were there are replaced.

        Raises
        ------
        SpoolFull
            They cannot be written.
        """
        path = self.path(key)
        try:
            durable.make_directory(path.parent)
            durable.write_file(path, content, temporary=self._new_path())
        except OSError as error:
            raise SpoolFull(f"cannot keep the findings of an image: {error.strerror}") from error
