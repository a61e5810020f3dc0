import { ClipError } from "../../core/errors.ts";
import { packedPixels, unpackedPixels, type Box, type RasterImage, type Size } from "./raster-image.ts";

/** No photo is longer; a strip of one pixel by 100 million would cost minutes for a centre that shows nothing. */
const maxAspectRatio = 10_000;

/**
 * The size at which the shorter side is `shortest` pixels and the longer keeps the proportion, cut to whole pixels (not
 * rounded), as torchvision's `Resize` does.
 *
 * @throws {ClipError} `CLIP_IMAGE` if the image is more than 10,000 times as long as wide.
 */
export function shortestSideSize({ width, height }: Size, shortest: number): Size {
  const [short, long] = width <= height ? [width, height] : [height, width];
  if (long > maxAspectRatio * short) {
    const met = `${width}×${height} pixels`;
    throw new ClipError(
      "CLIP_IMAGE",
      `an image of ${met} is longer than ${maxAspectRatio} : 1; cut out the part to look at`,
    );
  }
  const scaled = Math.trunc((shortest * long) / short);
  return width <= height ? { width: shortest, height: scaled } : { width: scaled, height: shortest };
}

/** The middle square of `side` pixels; a half pixel goes to the even offset, as Python's `round` does. */
export function centerSquare({ width, height }: Size, side: number): Box {
  return {
    left: roundHalfToEven((width - side) / 2),
    top: roundHalfToEven((height - side) / 2),
    width: side,
    height: side,
  };
}

/** A copy of the pixels inside `box`, which lies inside the image. */
export function cropImage(image: RasterImage, { left, top, width, height }: Box): RasterImage {
  const source = packedPixels(image.pixels);
  const cropped = new Int32Array(width * height);
  for (let row = 0; row < height; row++) {
    const start = (top + row) * image.width + left;
    cropped.set(source.subarray(start, start + width), row * width);
  }
  return { ...image, width, height, pixels: unpackedPixels(cropped) };
}

/** As Python's `round` does. */
export function roundHalfToEven(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
