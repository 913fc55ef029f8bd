"""Pictures: SEG and heat map on the grid of their source, pixel data of the right length, graphics within the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset

from workers.results.checks.content import within
from workers.results.checks.examined import Examined, items

_DATA = ("PixelData", "FloatPixelData")
_IN_PIXELS = "PIXEL"


def grid(examined: Examined) -> Iterator[str]:
    """Check that an object lies on the grid of its source, and that each of its frames names it."""
    ds, sources = examined.ds, examined.shown_sources()
    for source in sources:
        if source.shape is not None and (ds.Rows, ds.Columns) != source.shape:
            yield f"has {ds.Rows} rows and {ds.Columns} columns, expected those of its source, {source.shape}"
    groups = ds.PerFrameFunctionalGroupsSequence
    if int(ds.NumberOfFrames) != len(groups):
        yield f"NumberOfFrames is {ds.NumberOfFrames}, expected one for each of {len(groups)} functional groups"
    shared = ds.SharedFunctionalGroupsSequence[0]
    uids = {source.uid for source in sources}
    for number, group in enumerate(groups, start=1):
        derivations = group.get("DerivationImageSequence") or shared.get("DerivationImageSequence", ())
        if {item.get("ReferencedSOPInstanceUID") for item in items(derivations)} - {None} != uids:
            yield f"frame {number} does not say from which image it is derived"


def length(examined: Examined) -> Iterator[str]:
    """Check that native pixel data is as long as its frames (PS3.5 section 8.1.1); codecs know of the others."""
    ds = examined.ds
    if ds.file_meta.TransferSyntaxUID.is_compressed:
        return
    for keyword in (keyword for keyword in _DATA if keyword in ds):
        bits = ds.Rows * ds.Columns * ds.SamplesPerPixel * ds.BitsAllocated * int(ds.get("NumberOfFrames") or 1)
        expected = -(-bits // 16) * 2
        if len(ds[keyword].value) != expected:
            yield f"{keyword} has {len(ds[keyword].value)} bytes, expected {expected}"


def graphics(examined: Examined) -> Iterator[str]:
    """Check that every annotation of a Presentation State has a layer, and lies within the image that it shows."""
    ds = examined.ds
    layers = {str(layer.GraphicLayer) for layer in ds.GraphicLayerSequence}
    shapes = [source.shape for source in examined.shown_sources() if source.shape is not None]
    for annotation in ds.GraphicAnnotationSequence:
        if str(annotation.GraphicLayer) not in layers:
            yield f"an annotation is on layer {annotation.GraphicLayer}, which is none of {sorted(layers)}"
        points = list(_points(annotation))
        if not all(within(one, shape) for one in points for shape in shapes):
            yield f"graphics on layer {annotation.GraphicLayer} lie outside of the image"
    for area in ds.DisplayedAreaSelectionSequence:
        corners = [*area.DisplayedAreaTopLeftHandCorner, *area.DisplayedAreaBottomRightHandCorner]
        for rows, columns in shapes:
            if corners != [1, 1, columns, rows]:
                yield f"displays the area {corners}, expected the whole image, {[1, 1, columns, rows]}"


def _points(annotation: Dataset) -> Iterator[Sequence[float]]:
    """Yield the coordinates of graphics and texts that are given in pixels (PS3.3 section C.10.5)."""
    for graphic in annotation.get("GraphicObjectSequence", ()):
        if graphic.GraphicAnnotationUnits == _IN_PIXELS:
            yield graphic.GraphicData
    for text in annotation.get("TextObjectSequence", ()):
        if text.get("AnchorPointAnnotationUnits") == _IN_PIXELS:
            yield text.AnchorPoint
