"""Image library of the report (PS3.16 TID 1600 to 1603), made from headers that may lack what highdicom asks for."""

from __future__ import annotations

from collections.abc import Sequence

from highdicom.sr import (
    CodeContentItem,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    ImageContentItem,
    NumContentItem,
    RelationshipTypeValues,
    TextContentItem,
)

from models.values.codes import MILLIMETRE, PIXEL, Code
from workers.results.sources.source import Source
from workers.results.text import vocabulary
from workers.results.text.vocabulary import concept

_CONTAINS = RelationshipTypeValues.CONTAINS
_CONTEXT = RelationshipTypeValues.HAS_ACQ_CONTEXT


def image_library(sources: Sequence[Source]) -> ContainerContentItem:
    """Return the container that lists every image of the study that could be read and can be referred to."""
    group = ContainerContentItem(concept(vocabulary.IMAGE_LIBRARY_GROUP), relationship_type=_CONTAINS)
    group.ContentSequence = ContentSequence([_entry(source) for source in sources])
    library = ContainerContentItem(concept(vocabulary.IMAGE_LIBRARY), relationship_type=_CONTAINS)
    library.ContentSequence = ContentSequence([group])
    return library


def _entry(source: Source) -> ImageContentItem:
    item = ImageContentItem(
        name=concept(vocabulary.SOURCE),
        referenced_sop_class_uid=source.sop_class_uid,
        referenced_sop_instance_uid=source.uid,
        relationship_type=_CONTAINS,
    )
    descriptors = _descriptors(source)
    if descriptors:
        item.ContentSequence = ContentSequence(descriptors)
    return item


def _descriptors(source: Source) -> list[ContentItem]:
    """Return the items of TID 1602 and TID 1603 that the header supports."""
    header = source.header
    items: list[ContentItem] = []
    modality = vocabulary.MODALITIES.get(str(header.get("Modality", "")))
    if modality is not None:
        items.append(CodeContentItem(concept(vocabulary.MODALITY), concept(modality), relationship_type=_CONTEXT))
    if source.shape is not None:
        rows, columns = source.shape
        items += [
            _number(vocabulary.PIXEL_DATA_ROWS, rows, PIXEL),
            _number(vocabulary.PIXEL_DATA_COLUMNS, columns, PIXEL),
        ]
    orientation = header.get("PatientOrientation")
    if orientation:
        items += [
            _text(vocabulary.PATIENT_ORIENTATION_ROW, orientation[0]),
            _text(vocabulary.PATIENT_ORIENTATION_COLUMN, orientation[1]),
        ]
    spacing = header.get("ImagerPixelSpacing") or header.get("PixelSpacing")
    if spacing:
        items += [
            _number(vocabulary.HORIZONTAL_PIXEL_SPACING, float(spacing[1]), MILLIMETRE),
            _number(vocabulary.VERTICAL_PIXEL_SPACING, float(spacing[0]), MILLIMETRE),
        ]
    return items


def _number(name: Code, value: float, unit: Code) -> NumContentItem:
    return NumContentItem(concept(name), value, concept(unit), relationship_type=_CONTEXT)


def _text(name: Code, value: str) -> TextContentItem:
    return TextContentItem(concept(name), value, relationship_type=_CONTEXT)
