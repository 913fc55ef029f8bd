r"""Where a measurement was taken, as spatial coordinates of the report (SCOORD, PS3.3 section C.18.6).

Coordinates are column and row in pixels of the source image: the upper left corner of its first pixel is 0\0, the
middle of that pixel 0.5\0.5, the lower right corner of the image Columns\Rows. The same stands in words beside them,
because viewers do not draw them (OHIF #5082).
"""

from __future__ import annotations

import numpy as np
from highdicom.sr import CoordinatesForMeasurement, GraphicTypeValues, SourceImageForRegion

from models.values.findings import Measurement
from workers.results.sources.source import Source
from workers.results.text import vocabulary
from workers.results.text.vocabulary import concept


def coordinates(measurement: Measurement, source: Source) -> list[CoordinatesForMeasurement]:
    """Return one item for each extent of a measurement: its two outermost points.

    MULTIPOINT and not POLYLINE: what was measured is their distance along the patient's horizontal. A line between
    them is oblique, and a viewer that takes its length shows another number.
    """
    return [
        CoordinatesForMeasurement(
            graphic_type=GraphicTypeValues.MULTIPOINT,
            graphic_data=np.array([(point.column, point.row) for point in extent]),
            source_image=SourceImageForRegion(source.sop_class_uid, source.uid),
            purpose=concept(vocabulary.SOURCE),
        )
        for extent in measurement.extents
    ]
