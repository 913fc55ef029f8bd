// What the packages expect of a browser, and no more. Import this before them.
//
// - A canvas is made for every decoded image and drawn on only for colour.
// - The user agent is asked whether this is an iPhone.
// - `window` keeps the time of the request pool.
// - Frames are decoded in a worker: here it is the same thread behind a message channel.
// - XMLHttpRequest would ask the archive for single frames, of which there is none here.
// - What a bundler does to `new URL('package/file', import.meta.url)`: `./bundler.mjs`.
import { register } from 'node:module';

register('./bundler.mjs', import.meta.url);
globalThis.document = { createElement: () => ({}) };
globalThis.navigator ??= { userAgent: 'Node', platform: 'Node' };
globalThis.window = { setTimeout, clearTimeout };
globalThis.XMLHttpRequest = class {
  constructor() {
    throw new Error('no frame was found in the instance, and there is no archive to ask for it');
  }
};

const { expose } = await import('comlink');

export function decodeInThisThread(decodeImageFrame) {
  globalThis.Worker = class {
    constructor() {
      const { port1, port2 } = new MessageChannel();
      const decodeTask = ({ imageFrame, transferSyntax, pixelData, decodeConfig, options }) =>
        decodeImageFrame(imageFrame, transferSyntax, pixelData, decodeConfig, options);
      expose({ decodeTask }, port1);
      return port2;
    }
  };
}
