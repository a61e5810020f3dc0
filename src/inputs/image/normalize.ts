import { ClipError } from "../../core/errors.ts";
import { checkOptions } from "../../core/options.ts";
import { type PreprocessConfig, preprocessKinds } from "./preprocess-config.ts";

/**
 * Standardizes a square RGB image into the image tower's planar input: (pixel / 255 − mean) / std.
 *
 * @param pixels - 8-bit sRGB [imageSize, imageSize, 3], row-major.
 * @returns `pixelValues`, float32 [3, imageSize, imageSize], planes R, G, B. Each operation rounds to float32, so
 *   values equal PyTorch's bit for bit. With OpenAI's constants they are in [−1.7923, 2.1459].
 * @throws {ClipError} `CLIP_IMAGE` if the image is not a square of `imageSize`.
 * @see {@link https://github.com/openai/CLIP | openai/CLIP} `clip/clip.py`, `_transform`: ToTensor, then Normalize.
 */
export function normalizePixels(
  pixels: Uint8Array,
  config: Pick<PreprocessConfig, "imageSize" | "mean" | "std">,
): Float32Array {
  checkOptions("normalizePixels", config, preprocessKinds, ["imageSize", "mean", "std"]);
  const { imageSize, mean, std } = config;
  const plane = imageSize * imageSize;
  if (pixels.length !== 3 * plane) {
    const wanted = `${imageSize}×${imageSize} RGB pixels (${3 * plane} bytes)`;
    throw new ClipError(
      "CLIP_IMAGE",
      `expected ${wanted}, got ${pixels.length} bytes; resize and crop before normalizing`,
    );
  }
  // A table of the 3 × 256 possible values.
  const values = new Float32Array(768);
  for (let channel = 0; channel < 3; channel++) {
    const [center, spread] = [Math.fround(mean[channel]!), Math.fround(std[channel]!)];
    for (let level = 0; level < 256; level++) {
      values[256 * channel + level] = Math.fround(Math.fround(level / 255) - center) / spread;
    }
  }
  const pixelValues = new Float32Array(3 * plane);
  for (let i = 0, from = 0; i < plane; i++, from += 3) {
    pixelValues[i] = values[pixels[from]!]!;
    pixelValues[plane + i] = values[256 + pixels[from + 1]!]!;
    pixelValues[2 * plane + i] = values[512 + pixels[from + 2]!]!;
  }
  return pixelValues;
}
