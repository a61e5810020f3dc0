import { checkOptions } from "../../core/options.ts";
import { centerSquare, shortestSideSize } from "./crop.ts";
import { normalizePixels } from "./normalize.ts";
import { type PreprocessConfig, preprocessKinds } from "./preprocess-config.ts";
import { checkRaster, dropAlpha, type RasterImage } from "./raster-image.ts";
import { resample } from "./resample.ts";

/** An image prepared for the image tower, S = `imageSize`. */
export interface PreprocessedImage {
  /** 8-bit RGB [S, S, 3], for viewing what the model sees. */
  readonly pixels: Uint8Array;
  /** Float32 [3, S, S]: the model's input. */
  readonly pixelValues: Float32Array;
}

/**
 * Resizes the shorter side to `imageSize` and crops the centre square, or squashes to a square; drops alpha (a
 * transparent pixel shows its stored colour); standardizes. Equals openai/CLIP's `_transform` with Pillow, bit for bit.
 *
 * @example
 * ```ts
 * const image = await decodeImage("photo.jpg");
 * console.log(preprocessImage(image, clipPreprocess).pixelValues);
 * ```
 *
 * @throws {ClipError} `CLIP_IMAGE` if the aspect ratio exceeds 10,000 : 1 or the image's fields are inconsistent.
 */
export function preprocessImage(image: RasterImage, config: PreprocessConfig): PreprocessedImage {
  checkOptions("preprocessImage", config, preprocessKinds, ["imageSize", "mean", "std", "resample"]);
  const pixels = squarePixels(image, config);
  return { pixels, pixelValues: normalizePixels(pixels, config) };
}

/**
 * Like {@link preprocessImage}, without standardization: 8-bit RGB [S, S, 3].
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
