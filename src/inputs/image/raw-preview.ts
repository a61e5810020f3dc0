import { readJpeg } from "./jpeg.ts";
import { tiffTags } from "./sniff.ts";

/** Names of camera raw files. */
export const rawName = /\.(?:3fr|arw|cr2|cr3|crw|dng|erf|kdc|mrw|nef|nrw|orf|pef|raf|raw|rw2|rwl|sr2|srf|srw|x3f)$/i;

/** More would be no camera's; bounds the work on hostile files. */
const maxCandidates = 64;
const orientationTag = 274;

/**
 * The JPEG previews in a camera raw file, the largest first. Every camera stores one or more, in containers of its own; so they are
 * found by their content. Some may be of a kind that cannot be decoded, such as lossless ones.
 */
export function rawPreviews(bytes: Uint8Array): Uint8Array[] {
  const found: { readonly jpeg: Uint8Array; readonly area: number }[] = [];
  const content = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = Buffer.from([0xff, 0xd8, 0xff]);
  for (let at = content.indexOf(start), i = 0; at >= 0 && i < maxCandidates; at = content.indexOf(start, at + 1), i++) {
    const jpeg = bytes.subarray(at);
    try {
      const { width, height } = readJpeg(jpeg);
      found.push({ jpeg, area: width * height });
    } catch {
      // The three bytes were part of something else.
    }
  }
  // Before a JPEG there may be bytes that look like the start of one: the last start is its own.
  found.sort((a, b) => b.area - a.area || a.jpeg.length - b.jpeg.length);
  const orientation = tiffTags(bytes)?.get(orientationTag) ?? 1;
  return found.map(({ jpeg }) => withOrientation(jpeg, orientation));
}

/** The preview with the raw file's orientation, which it lacks, in an EXIF segment. */
function withOrientation(jpeg: Uint8Array, orientation: number): Uint8Array {
  const hasExif = Buffer.from(jpeg.subarray(0, 64)).includes("Exif\0\0");
  if (hasExif || orientation < 2 || orientation > 8) return jpeg;
  const tiff = [0x49, 0x49, 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0, 0, 0, 0, 0];
  const segment = Buffer.concat([Buffer.from("Exif\0\0"), Buffer.from(tiff)]);
  const head = Buffer.from([0xff, 0xd8, 0xff, 0xe1, 0, segment.length + 2]);
  return Buffer.concat([head, segment, jpeg.subarray(2)]);
}
