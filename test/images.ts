import { writeFile } from "node:fs/promises";
import sharp from "sharp";
import { Random } from "../src/core/random.ts";
import type { RasterImage } from "../src/inputs/image/raster-image.ts";

/** An image of random pixels. */
export function randomImage(seed: number, width = 48, height = 40): RasterImage {
  const random = new Random(seed);
  const pixels = Uint8Array.from({ length: 4 * width * height }, (_, i) => (i % 4 === 3 ? 255 : random.integer(256)));
  return { width, height, pixels, hasAlpha: false, nearest: false };
}

/** Writes an image of random pixels as PNG; returns its path. */
export async function writeRandomImage(path: string, seed: number): Promise<string> {
  const { width, height, pixels } = randomImage(seed);
  await writeFile(
    path,
    await sharp(pixels, { raw: { width, height, channels: 4 } })
      .png()
      .toBuffer(),
  );
  return path;
}
