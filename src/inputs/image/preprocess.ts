import { checkOptions } from "../../core/options.ts";
import { centerSquare, shortestSideSize } from "./crop.ts";
import { normalizePixels } from "./normalize.ts";
import { type PreprocessConfig, preprocessKinds } from "./preprocess-config.ts";
import { checkRaster, dropAlpha, type RasterImage } from "./raster-image.ts";
import { resample } from "./resample.ts";

/** An image as the image tower reads it, S = `imageSize`. */
export interface PreprocessedImage {
  /** 8-bit RGB [S, S, 3]: what the model sees, for people to look at. */
  readonly pixels: Uint8Array;
  /** Float32 [3, S, S]: the model's input. */
  readonly pixelValues: Float32Array;
}

/**
 * Shorter side to `imageSize` and the centre square, or squashed to a square; alpha dropped (not blended: a transparent
 * pixel shows the colour stored beneath); standardised. Equal to openai/CLIP's `_transform` with Pillow, bit for bit.
 *
 * @example
 * ```ts
 * const image = await decodeImage("photo.jpg");
 * console.log(preprocessImage(image, clipPreprocess).pixelValues);
 * ```
 *
 * @throws {ClipError} `CLIP_IMAGE` if the image is more than 10,000 times as long as wide, or its fields do not fit each other.
 */
export function preprocessImage(image: RasterImage, config: PreprocessConfig): PreprocessedImage {
  checkOptions("preprocessImage", config, preprocessKinds, ["imageSize", "mean", "std", "resample"]);
  const pixels = squarePixels(image, config);
  return { pixels, pixelValues: normalizePixels(pixels, config) };
}

/**
 * The same before it is standardised: 8-bit RGB [S, S, 3].
 *
 * @throws {ClipError} as {@link preprocessImage}.
 */
export function squarePixels(image: RasterImage, config: PreprocessConfig): Uint8Array {
  checkRaster(image);
  const { imageSize, resizeMode } = config;
  const shortest = shortestSideSize(image, imageSize);
  const size = resizeMode === "squash" ? { width: imageSize, height: imageSize } : shortest;
  const square = resample(image, size, centerSquare(size, imageSize), config.resample);
  return dropAlpha(square.pixels);
}
