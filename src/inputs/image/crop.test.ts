import { describe, expect, it } from "vitest";
import { centerSquare, cropImage, shortestSideSize } from "./crop.ts";
import type { RasterImage } from "./raster-image.ts";

describe("shortestSideSize", () => {
  it("truncates the longer side and does not round it", () => {
    expect(shortestSideSize({ width: 310, height: 235 }, 224)).toEqual({ width: 295, height: 224 }); // 295.49
    expect(shortestSideSize({ width: 341, height: 227 }, 224)).toEqual({ width: 336, height: 224 }); // 336.49
    expect(shortestSideSize({ width: 300, height: 410 }, 224)).toEqual({ width: 224, height: 306 }); // 306.13
    expect(shortestSideSize({ width: 2000, height: 1500 }, 224)).toEqual({ width: 298, height: 224 }); // 298.67
  });

  it("refuses an aspect ratio above 10,000 : 1 and accepts one just below", () => {
    expect(shortestSideSize({ width: 10_000, height: 1 }, 2)).toEqual({ width: 20_000, height: 2 });
    expect(() => shortestSideSize({ width: 1, height: 10_001 }, 2)).toThrow(
      /1×10001 pixels exceeds the aspect ratio 10000 : 1; crop/,
    );
  });
});

describe("centerSquare", () => {
  it("rounds half-pixel offsets to even, as Python does", () => {
    const lefts = [224, 225, 226, 227, 229, 231].map((width) => centerSquare({ width, height: 224 }, 224).left);
    expect(lefts).toEqual([0, 0, 1, 2, 2, 4]); // 0, ½, 1, 1½, 2½, 3½
  });
});

describe("cropImage", () => {
  it("takes the pixels of the box", () => {
    const pixels = Uint8Array.from({ length: 5 * 4 * 4 }, (_, i) => i);
    const image: RasterImage = { width: 5, height: 4, pixels, hasAlpha: true, nearest: false };
    const cropped = cropImage(image, { left: 3, top: 1, width: 2, height: 2 });
    const expected = [8, 9, 13, 14].flatMap((pixel) => [...pixels.subarray(4 * pixel, 4 * pixel + 4)]);
    expect(cropped).toMatchObject({ width: 2, height: 2, hasAlpha: true });
    expect([...cropped.pixels]).toEqual(expected);
  });
});
