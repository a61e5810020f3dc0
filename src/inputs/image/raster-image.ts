import { ClipError } from "../../core/errors.ts";

/** A decoded image, not yet resized. */
export interface RasterImage {
  readonly width: number;
  readonly height: number;
  /** 8-bit sRGB with straight (not premultiplied) alpha, [height, width, 4]; grey is stored as R = G = B. */
  readonly pixels: Uint8Array;
  /** False if the file has no alpha channel; alpha is then 255 everywhere. */
  readonly hasAlpha: boolean;
  /** True for palette and 1-bit images, which are resized by nearest neighbour because indices cannot be averaged. */
  readonly nearest: boolean;
}

/** Width and height in pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** A rectangle of whole pixels. */
export interface Box extends Size {
  readonly left: number;
  readonly top: number;
}

/**
 * Pixels as 32-bit words, 0xAABBGGRR, for fast loops. Shares the memory if it is aligned, otherwise copies. Assumes a
 * little-endian machine, as is every one that ONNX Runtime supports.
 */
export function packedPixels(pixels: Uint8Array): Int32Array {
  const aligned = pixels.byteOffset % 4 === 0 ? pixels : new Uint8Array(pixels);
  return new Int32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
}

/** The same memory as bytes R, G, B, A: the inverse of {@link packedPixels}. */
export function unpackedPixels(packed: Int32Array): Uint8Array {
  return new Uint8Array(packed.buffer, packed.byteOffset, packed.byteLength);
}

/** Colours without alpha, [height, width, 3]; not blended. */
export function dropAlpha(pixels: Uint8Array): Uint8Array {
  const colours = new Uint8Array((pixels.length / 4) * 3);
  for (let from = 0, to = 0; from < pixels.length; from += 4, to += 3) {
    colours[to] = pixels[from]!;
    colours[to + 1] = pixels[from + 1]!;
    colours[to + 2] = pixels[from + 2]!;
  }
  return colours;
}

/**
 * Refuses a decoded image, perhaps built by the caller, whose fields are inconsistent.
 *
 * @throws {ClipError} `CLIP_IMAGE`
 */
export function checkRaster(image: RasterImage): void {
  const { width, height, pixels, hasAlpha, nearest } = image;
  const refuse = (problem: string) => {
    throw new ClipError("CLIP_IMAGE", `a decoded image ${problem}`);
  };
  if (!(Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0))
    refuse(`has width ${String(width)} and height ${String(height)}; both must be whole numbers of at least 1`);
  if (Object.prototype.toString.call(pixels) !== "[object Uint8Array]")
    refuse("has pixels that are not a Uint8Array; pass R, G, B and alpha of each pixel, from 0 to 255");
  if (pixels.length !== 4 * width * height) {
    const wanted = `${width} × ${height} pixels need 4 bytes each (R, G, B, alpha), ${4 * width * height} in all`;
    refuse(`has ${pixels.length} bytes; ${wanted}`);
  }
  if (typeof hasAlpha !== "boolean" || typeof nearest !== "boolean")
    refuse("needs hasAlpha (whether alpha counts) and nearest (whether values are indices), each true or false");
}
