// What OHIF 3.13.2 answers when the loader asks for the metadata of an image: the parts of its MetadataProvider
// (@ohif/core, classes/MetadataProvider.ts) that are asked for, with its defaults for images without position.
import { metaData, utilities } from '@cornerstonejs/core';
import { utilities as metadataUtilities } from '@cornerstonejs/metadata';
import dcmjs from 'dcmjs';

const { DicomMessage, DicomMetaDictionary } = dcmjs.data;
const OHIF_PRIORITY = 9999;
const instances = new Map();

// Read a Part 10 file as the instance that OHIF has of it from DICOMweb: attributes by keyword, no pixel data.
export function readInstance(part10) {
  const instance = DicomMetaDictionary.naturalizeDataset(DicomMessage.readFile(part10).dict);
  delete instance.PixelData;
  return instance;
}

// Remember an instance of a study, and return the URL that its frames have in common.
export function addInstance(instance, study) {
  const { SeriesInstanceUID, SOPInstanceUID } = instance;
  const base = `wadors:/studies/${study}/series/${SeriesInstanceUID}/instances/${SOPInstanceUID}`;
  instances.set(base, instance);
  return base;
}

function imagePlane(instance) {
  const { PixelSpacing } = utilities.getPixelSpacingInformation(instance) || {};
  const { ImageOrientationPatient, ImagePositionPatient } = instance;
  const [rowPixelSpacing, columnPixelSpacing] = (PixelSpacing ?? [1, 1]).map(Number);
  const imageOrientationPatient = ImageOrientationPatient?.map(Number) ?? [1, 0, 0, 0, 1, 0];
  return {
    frameOfReferenceUID: instance.FrameOfReferenceUID,
    rows: instance.Rows,
    columns: instance.Columns,
    imageOrientationPatient,
    rowCosines: imageOrientationPatient.slice(0, 3),
    columnCosines: imageOrientationPatient.slice(3, 6),
    imagePositionPatient: ImagePositionPatient?.map(Number) ?? [0, 0, 0],
    rowPixelSpacing,
    columnPixelSpacing,
    usingDefaultValues: !PixelSpacing || !ImageOrientationPatient || !ImagePositionPatient,
  };
}

const MODULES = {
  instance: (instance, frame) => metadataUtilities.combineFrameInstance(frame, instance),
  generalImageModule: (instance) => ({ sopInstanceUID: instance.SOPInstanceUID }),
  generalSeriesModule: (instance) => ({ seriesInstanceUID: instance.SeriesInstanceUID, modality: instance.Modality }),
  imagePlaneModule: imagePlane,
  imagePixelModule: (instance) => ({
    samplesPerPixel: instance.SamplesPerPixel,
    photometricInterpretation: instance.PhotometricInterpretation,
    rows: instance.Rows,
    columns: instance.Columns,
    bitsAllocated: instance.BitsAllocated,
    bitsStored: instance.BitsStored,
    highBit: instance.HighBit,
    pixelRepresentation: instance.PixelRepresentation,
  }),
};

// Answer the packages' questions from now on; the image loader must have been set up before.
export function answerAsOhif() {
  metaData.addProvider((type, imageId) => {
    const [, base, frame] = /^(wadors:.*)\/frames\/(\d+)$/.exec(imageId) ?? [];
    const instance = instances.get(base);
    return instance && MODULES[type]?.(instance, Number(frame));
  }, OHIF_PRIORITY);
}
