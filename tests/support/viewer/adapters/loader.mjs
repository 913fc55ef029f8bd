// Load Segmentations over images with the loader of OHIF 3.13.2, and write its label maps.
//
//     node loader.mjs CASES FOLDER
//
// CASES is a JSON list of {images: [path], segmentation: path, way: name}: the images of the series that is referred
// to, and the Segmentation, as Part 10 files. FOLDER gets the label maps, a byte for each pixel, and `loaded.json`, a
// list with what came of each case: {labelMaps: [layer: [file for each image]], labels: {place: label}} or
// {error: text}.
//
// The way `ohif` is what OHIF does (extensions/cornerstone-dicom-seg, loadSegmentation.ts): the whole instance is fetched, and
// `createFromDicomSegImageId` takes its frames from the image loader. `buffer` gives the bytes to
// `createFromDICOMSegBuffer`, the adapters' own decoder, which OHIF does not use.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeInThisThread } from './browser.mjs';

const LABEL_MAP_SEGMENTATION = '1.2.840.10008.5.1.4.1.1.66.7';
const TOLERANCE = 0.001;

const warnings = [];
for (const method of ['log', 'info', 'debug', 'warn', 'error']) {
  console[method] = (...parts) => warnings.push(parts);
}
const { cache, metaData } = await import('@cornerstonejs/core');
const { adaptersSEG } = await import('@cornerstonejs/adapters');
const imageLoader = await import('@cornerstonejs/dicom-image-loader');
const { addInstance, answerAsOhif, readInstance } = await import('./metadata.mjs');
const { createFromDicomSegImageId, createFromDICOMSegBuffer } = adaptersSEG.Cornerstone3D.Segmentation;

decodeInThisThread(imageLoader.decodeImageFrame);
imageLoader.init({ maxWebWorkers: 1 });
answerAsOhif();

function bytes(path) {
  const read = readFileSync(path);
  return read.buffer.slice(read.byteOffset, read.byteOffset + read.byteLength);
}

async function asOhif(imageIds, path, study) {
  const segmentation = readInstance(bytes(path));
  const base = addInstance(segmentation, study);
  const count = Number(segmentation.NumberOfFrames) || 1;
  const frameImageIds = Array.from({ length: count }, (_, index) => `${base}/frames/${index + 1}`);
  await imageLoader.prefetchPart10Instance(frameImageIds[0], bytes(path));
  return createFromDicomSegImageId(imageIds, frameImageIds[0], {
    metadataProvider: metaData,
    tolerance: TOLERANCE,
    parserType: segmentation.SOPClassUID === LABEL_MAP_SEGMENTATION ? 'labelmap' : 'bitmap',
    frameImageIds,
    concurrency: 16,
  });
}

function fromBuffer(imageIds, path) {
  return createFromDICOMSegBuffer(imageIds, bytes(path), { metadataProvider: metaData, tolerance: TOLERANCE });
}

function written({ labelMapImages, segMetadata }, name) {
  const labelMaps = labelMapImages.map((group, layer) =>
    group.map((image, index) => {
      const file = `${name}-${layer}-${index}.raw`;
      writeFileSync(join(process.argv[3], file), Uint8Array.from(image.getPixelData()));
      return file;
    }),
  );
  // OHIF takes name and colour of a segment from the place in this list, not from its number.
  const labels = Object.fromEntries(Array.from(segMetadata.data, (segment, place) => [place, segment?.SegmentLabel]));
  return { labelMaps, labels };
}

// Return what went wrong first: a frame that could not be decoded is warned of, then asked of the archive.
function cause(error) {
  const failure = warnings.flat().find((part) => part instanceof Error && !String(part).includes('no archive to ask'));
  return String(failure ?? error?.error ?? error);
}

const ways = { ohif: asOhif, buffer: fromBuffer };

async function outcome({ images, segmentation, way }, study) {
  cache.purgeCache();
  warnings.length = 0;
  try {
    const imageIds = images.map((path) => `${addInstance(readInstance(bytes(path)), study)}/frames/1`);
    return written(await ways[way](imageIds, segmentation, study), study);
  } catch (error) {
    return { error: cause(error) };
  }
}

const loaded = [];
for (const [number, given] of JSON.parse(readFileSync(process.argv[2])).entries()) {
  // A study of its own for each, so that nothing is found in a cache.
  loaded.push(await outcome(given, `${number}`));
}
writeFileSync(join(process.argv[3], 'loaded.json'), JSON.stringify(loaded));
process.exit(0); // the decoder's channel is open
