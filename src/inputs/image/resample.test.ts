import { describe, expect, it } from "vitest";
import { Random } from "../../core/random.ts";
import type { RasterImage } from "./raster-image.ts";
import { resample, type ResampleFilter } from "./resample.ts";

function randomImage(random: Random, width: number, height: number, hasAlpha = false, nearest = false): RasterImage {
  const pixels = Uint8Array.from({ length: 4 * width * height }, (_, i) =>
    i % 4 === 3 && !hasAlpha ? 255 : random.integer(256),
  );
  return { width, height, pixels, hasAlpha, nearest };
}

const whole = ({ width, height }: { width: number; height: number }) => ({ left: 0, top: 0, width, height });
const filters: readonly ResampleFilter[] = ["bicubic", "bilinear"];

describe.each(filters)("resample, %s", (filter) => {
  it("to the same size returns the same pixels", () => {
    for (const hasAlpha of [false, true]) {
      const image = randomImage(new Random(1), 19, 23, hasAlpha);
      expect(resample(image, image, whole(image), filter).pixels).toEqual(image.pixels);
    }
  });

  it("keeps an image of one colour, at every size", () => {
    for (const pixel of [
      [0, 0, 0, 255],
      [255, 255, 255, 255],
      [12, 250, 128, 255],
    ]) {
      const image: RasterImage = {
        ...randomImage(new Random(1), 31, 17),
        pixels: Uint8Array.from(
          Array(31 * 17)
            .fill(pixel)
            .flat(),
        ),
      };
      for (const target of [
        { width: 5, height: 90 },
        { width: 64, height: 64 },
        { width: 1, height: 1 },
      ]) {
        const { pixels } = resample(image, target, whole(target), filter);
        expect(pixels.every((level, i) => level === pixel[i % 4])).toBe(true);
      }
    }
  });

  it("computes a region exactly as within the whole", () => {
    const seed = Date.now();
    const random = new Random(seed);
    for (let round = 0; round < 40; round++) {
      const image = randomImage(
        random,
        1 + random.integer(60),
        1 + random.integer(60),
        round % 2 === 0,
        round % 5 === 0,
      );
      const target = { width: 1 + random.integer(50), height: 1 + random.integer(50) };
      const [left, top] = [random.integer(target.width), random.integer(target.height)];
      const region = {
        left,
        top,
        width: 1 + random.integer(target.width - left),
        height: 1 + random.integer(target.height - top),
      };
      const full = resample(image, target, whole(target), filter);
      const part = resample(image, target, region, filter);
      for (let y = 0; y < region.height; y++) {
        const start = 4 * ((top + y) * target.width + left);
        const row = full.pixels.subarray(start, start + 4 * region.width);
        expect(part.pixels.subarray(4 * y * region.width, 4 * (y + 1) * region.width), `seed ${seed}`).toEqual(row);
      }
    }
  });

  it("processes large images in bands without a seam", () => {
    // 3,000 rows of 1,200 pixels are 14 bands; row y has level y / 12, so the result increases evenly.
    const [width, height] = [1200, 3000];
    const packed = Int32Array.from(
      { length: width * height },
      (_, i) => Math.trunc(i / width / 12) * 0x010101 - 0x1000000,
    );
    const image: RasterImage = {
      width,
      height,
      pixels: new Uint8Array(packed.buffer),
      hasAlpha: false,
      nearest: false,
    };
    const target = { width: 4, height: 250 };
    const { pixels } = resample(image, target, whole(target), filter);
    pixels.forEach((level, i) => i % 4 < 3 && expect(Math.abs(level - (i >> 4))).toBeLessThanOrEqual(1));
  });

  it("does not let the colour under transparent pixels bleed into the others", () => {
    const [clear, blue] = [
      [255, 0, 0, 0],
      [0, 0, 255, 255],
    ];
    const pixels = Uint8Array.from({ length: 40 * 40 * 4 }, (_, i) => ((i >> 2) % 3 === 0 ? clear : blue)[i & 3]!);
    const image: RasterImage = {
      width: 40,
      height: 40,
      pixels: Uint8Array.from(pixels),
      hasAlpha: true,
      nearest: false,
    };
    const { pixels: resized } = resample(
      image,
      { width: 16, height: 16 },
      { left: 2, top: 2, width: 12, height: 12 },
      filter,
    );
    for (let i = 0; i < resized.length; i += 4) expect([resized[i], resized[i + 1]]).toEqual([0, 0]);
  });
});
