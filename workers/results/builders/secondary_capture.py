"""Secondary Capture (PS3.3 section A.8.1) of a radiograph with overlay, legend and findings burnt in.

For viewers that draw neither Segmentation nor Presentation State. The pixels hold nothing of the patient's header.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from highdicom.sc import SCImage
from pydicom.dataset import Dataset
from pydicom.valuerep import DA, DS, TM

from models.image.geometry import Orientation
from models.image.pixels import Radiograph
from models.values.codes import Code
from models.values.findings import ImageFindings
from node.delivery.profiles import Profile
from node.dicom.kinds import ResultKind
from node.dicom.uids import EXPLICIT_LITTLE_ENDIAN, JPEG_2000_LOSSLESS
from workers.results.builders.encoding import Built, Encoding, ShownImage
from workers.results.part10 import local_time
from workers.results.parts.references import reference, supersede
from workers.results.parts.series import (
    BODY_PART,
    bundles_of,
    burnt_in_annotation,
    contributions,
    identification,
    patient,
)
from workers.results.rendering.overlay import AnnotatedPicture, annotated
from workers.results.request import Predecessor, ResultRequest
from workers.results.sources.source import Source
from workers.results.text.languages.known import language
from workers.results.text.wording import RESEARCH_ONLY

SOURCE_OF_PROCESSING = Code("121322", "DCM", "Source image for image processing operation")
"""Purpose of Reference (PS3.16 CID 7202)."""

_CANONICAL = ("L", "F")
_WORKSTATION = "WSD"
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def build(encoding: Encoding, images: Sequence[ShownImage]) -> Iterator[Built]:
    """Make a picture of each image."""
    for image in images:
        ds = secondary_capture(
            encoding.request,
            image.findings,
            image.source,
            encoding.radiographs.of(image.source),
            profile=encoding.profile,
            predecessors=encoding.predecessors,
        )
        yield Built(ds, image.source)


def secondary_capture(
    request: ResultRequest,
    image: ImageFindings,
    source: Source,
    radiograph: Radiograph,
    *,
    profile: Profile,
    predecessors: Sequence[Predecessor] = (),
) -> SCImage:
    """Return the Secondary Capture of one image, on the canonical grid: the patient's left on the right, feet down.

    Parameters
    ----------
    radiograph
        The pixels of `source`, as `models.image.pixels.read` gives them.

    Raises
    ------
    ValueError
        A mask does not fit the radiograph.
    """
    picture = annotated(radiograph, image, language(profile.language))
    header, syntax = source.header, profile.transfer_syntax(ResultKind.SC)
    moment = local_time(request.created_at, source)
    ds = SCImage(
        pixel_array=picture.pixels,
        photometric_interpretation="YBR_RCT" if syntax == JPEG_2000_LOSSLESS else "RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=_CANONICAL,
        study_instance_uid=request.study_instance_uid,
        # RLE and Deflated are made when the object is written.
        transfer_syntax_uid=syntax if syntax == JPEG_2000_LOSSLESS else EXPLICIT_LITTLE_ENDIAN,
        contributing_equipment=contributions(request, bundles_of(image), moment),
        **patient(header),
        **identification(request, ResultKind.SC, profile, image_uid=source.uid, position=source.position),
    )
    ds.copy_patient_and_study_information(header)
    ds.BodyPartExamined = BODY_PART
    ds.ConversionType = _WORKSTATION
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.DateOfSecondaryCapture = DA(moment.strftime("%Y%m%d"))
    ds.TimeOfSecondaryCapture = TM(moment.strftime("%H%M%S"))
    if radiograph.orientation == Orientation():
        ds.PatientOrientation = header.get("PatientOrientation")
    _describe(ds, source, radiograph, picture)
    supersede(ds, predecessors)
    return ds


def _describe(ds: Dataset, source: Source, radiograph: Radiograph, picture: AnnotatedPicture) -> None:
    """Say what the picture is made of, and how large its pixels are."""
    rows, columns = picture.radiograph_shape
    made = "" if (rows, columns) == radiograph.shape else f" Shown with {rows} rows and {columns} columns."
    ds.DerivationDescription = (
        f"{RESEARCH_ONLY}. Overlay burnt into the image, findings and legend beside it, by software.{made}"
    )
    ds.SourceImageSequence = [reference(source.sop_class_uid, source.uid, purpose=SOURCE_OF_PROCESSING)]
    burnt_in = burnt_in_annotation(source)
    if burnt_in is not None:
        ds.BurnedInAnnotation = burnt_in
    for keyword in _LOSSY:
        if keyword in source.header:
            ds[keyword] = source.header[keyword]
    # Pixel Spacing is for calibrated images (PS3.3 section C.8.6.1): spacing at the detector would pass for it.
    if radiograph.spacing_mm is not None and radiograph.spacing_is_calibrated:
        of_source = (radiograph.spacing_mm[0] * radiograph.shape[0], radiograph.spacing_mm[1] * radiograph.shape[1])
        ds.PixelSpacing = [DS(of_source[0] / rows, auto_format=True), DS(of_source[1] / columns, auto_format=True)]
        if "PixelSpacingCalibrationType" in source.header:
            ds.PixelSpacingCalibrationType = source.header.PixelSpacingCalibrationType
            ds.PixelSpacingCalibrationDescription = "Calibration of the source image"
