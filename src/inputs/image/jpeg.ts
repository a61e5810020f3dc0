import type { Size } from "./raster-image.ts";

export interface JpegFrame extends Size {
  readonly components: number;
}

/**
 * Reads a JPEG's frame header and checks that the file is complete, since decoders fill missing parts with grey. Like
 * libjpeg, it walks from marker to marker, skips bytes between segments, and ignores everything after the end marker.
 *
 * @throws an error that describes the fault if the file ends too early, or has no frame (markers FFC0 to FFCF except
 *   tables).
 */
export function readJpeg(bytes: Uint8Array): JpegFrame {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let frame: JpegFrame | undefined;
  let isWhole = false;
  for (let at = bytes.indexOf(0xff, 2); at >= 0 && at + 1 < bytes.length; at = bytes.indexOf(0xff, at)) {
    const marker = bytes[++at]!;
    // Any number of FF may precede a marker. FF00 is pixel data; FFD0 to FFD7 are restart markers within it.
    if (marker === 0xff || marker <= 1 || (marker >= 0xd0 && marker <= 0xd8)) continue;
    isWhole = marker === 0xd9;
    if (isWhole || marker < 0xc0 || at + 3 > bytes.length) break;
    const isFrame = marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame && at + 9 <= bytes.length)
      frame ??= { width: view.getUint16(at + 6), height: view.getUint16(at + 4), components: bytes[at + 8]! };
    at += 1 + view.getUint16(at + 1);
  }
  if (!frame) throw new Error("it has no frame header");
  if (!isWhole) throw new Error("the end of its pixels is missing");
  return frame;
}
