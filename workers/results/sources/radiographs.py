"""Pixels of the images of one job, decoded once for all that shows them."""

from __future__ import annotations

from models.image import pixels
from models.image.pixels import Radiograph
from workers.results.sources.source import Source


class Radiographs:
    """The decoded images of one job, by SOP Instance UID.

    Parameters
    ----------
    keep
        Whether pixels are needed again, for pictures; else they are given away and forgotten.
    """

    def __init__(self, *, keep: bool = True) -> None:
        self._keep = keep
        self._decoded: dict[str, Radiograph] = {}

    def of(self, source: Source) -> Radiograph:
        """Return the pixels of an image, decoded when they are first asked for.

        Raises
        ------
        ValueError
            The source is a stand-in without a file.
        Undecodable
            The pixels cannot be decoded.
        OSError
            The file cannot be read.
        """
        if source.path is None:
            raise ValueError(f"image {source.uid} has no file")
        if source.uid in self._decoded:
            return self._decoded[source.uid]
        radiograph = pixels.read(source.path)
        if self._keep:
            self._decoded[source.uid] = radiograph
        return radiograph
