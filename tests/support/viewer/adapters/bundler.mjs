// The decoders find their WebAssembly by `new URL('package/file', import.meta.url)`, which a bundler resolves as an
// import. Node does not: this hook does, for the image loader's modules.
export async function load(url, context, next) {
  const loaded = await next(url, context);
  if (loaded.format !== 'module' || !url.includes('/@cornerstonejs/dicom-image-loader/')) return loaded;
  const named = /new URL\(('@cornerstonejs\/[^']+'), import\.meta\.url\)/g;
  return { ...loaded, source: String(loaded.source).replace(named, 'new URL(import.meta.resolve($1))') };
}
