import type { Size } from "./raster-image.ts";

/** What a JPEG says of itself before its pixels. */
export interface JpegFrame extends Size {
  readonly components: number;
}

/**
 * Walks from marker to marker as libjpeg does, to the mark of the end: bytes between two segments are skipped, and what follows the end
 * is not looked at. Decoders would fill with grey what is missing.
 *
 * @throws an error that says what is wrong if the file ends too early, or describes no frame (markers FFC0 to FFCF but for tables).
 */
export function readJpeg(bytes: Uint8Array): JpegFrame {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let frame: JpegFrame | undefined;
  let isWhole = false;
  for (let at = bytes.indexOf(0xff, 2); at >= 0 && at + 1 < bytes.length; at = bytes.indexOf(0xff, at)) {
    const marker = bytes[++at]!;
    // Any number of FF may stand before a marker. FF00 is a value of the pixels, FFD0 to FFD7 are between them.
    if (marker === 0xff || marker <= 1 || (marker >= 0xd0 && marker <= 0xd8)) continue;
    isWhole = marker === 0xd9;
    if (isWhole || marker < 0xc0 || at + 3 > bytes.length) break;
    const isFrame = marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame && at + 9 <= bytes.length)
      frame ??= { width: view.getUint16(at + 6), height: view.getUint16(at + 4), components: bytes[at + 8]! };
    at += 1 + view.getUint16(at + 1);
  }
  if (!frame) throw new Error("it does not say how large it is");
  if (!isWhole) throw new Error("the end of its pixels is missing");
  return frame;
}
