"""Pixels of the images of one job, decoded once for all that shows them."""

from __future__ import annotations

from models.image import pixels
from models.image.pixels import Radiograph
from workers.results.sources.source import Source


class Radiographs:
    """The decoded images of one job, by SOP Instance UID; kept as long as this object is."""

    def __init__(self) -> None:
        self._decoded: dict[str, Radiograph] = {}

    def keep(self, sop_instance_uid: str, radiograph: Radiograph) -> None:
        """Keep pixels that were decoded elsewhere."""
        self._decoded[sop_instance_uid] = radiograph

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
        if source.uid not in self._decoded:
            self._decoded[source.uid] = pixels.read(source.path)
        return self._decoded[source.uid]
