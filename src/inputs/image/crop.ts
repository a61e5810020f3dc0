import { ClipError } from "../../core/errors.ts";
import { packedPixels, unpackedPixels, type Box, type RasterImage, type Size } from "./raster-image.ts";

/** Beyond any photo; resizing a strip of 1 × 100 million pixels would take minutes. */
const maxAspectRatio = 10_000;

/**
 * The size after scaling the shorter side to `shortest` pixels; the longer side is truncated, not rounded, as in
 * torchvision's `Resize`.
 *
 * @throws {ClipError} `CLIP_IMAGE` if the aspect ratio exceeds 10,000 : 1.
 */
export function shortestSideSize({ width, height }: Size, shortest: number): Size {
  const [short, long] = width <= height ? [width, height] : [height, width];
  if (long > maxAspectRatio * short) {
    const met = `${width}×${height} pixels`;
    throw new ClipError(
      "CLIP_IMAGE",
      `an image of ${met} exceeds the aspect ratio ${maxAspectRatio} : 1; crop it first`,
    );
  }
  const scaled = Math.trunc((shortest * long) / short);
  return width <= height ? { width: shortest, height: scaled } : { width: scaled, height: shortest };
}

/** The central square of `side` pixels; half-pixel offsets are rounded to even, as in torchvision. */
export function centerSquare({ width, height }: Size, side: number): Box {
  return {
    left: roundHalfToEven((width - side) / 2),
    top: roundHalfToEven((height - side) / 2),
    width: side,
    height: side,
  };
}

/** Copies the pixels inside `box`, which must be within the image. */
export function cropImage(image: RasterImage, { left, top, width, height }: Box): RasterImage {
  const source = packedPixels(image.pixels);
  const cropped = new Int32Array(width * height);
  for (let row = 0; row < height; row++) {
    const start = (top + row) * image.width + left;
    cropped.set(source.subarray(start, start + width), row * width);
  }
  return { ...image, width, height, pixels: unpackedPixels(cropped) };
}

/** Rounds like Python's `round`. */
export function roundHalfToEven(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
