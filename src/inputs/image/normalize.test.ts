import { describe, expect, it } from "vitest";
import { normalizePixels } from "./normalize.ts";
import { clipPreprocess } from "./preprocess-config.ts";

describe("normalizePixels", () => {
  it("maps black and white to the ends of the range, in planes R, G, B", () => {
    const pixels = Uint8Array.of(0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 255);
    const values = normalizePixels(pixels, { ...clipPreprocess, imageSize: 2 });
    const low = clipPreprocess.mean.map((mean, i) => -mean / clipPreprocess.std[i]!);
    const high = clipPreprocess.mean.map((mean, i) => (1 - mean) / clipPreprocess.std[i]!);
    const planes = [
      [low[0], high[0], high[0], low[0]],
      [low[1], high[1], low[1], low[1]],
      [low[2], high[2], low[2], high[2]],
    ].flat();
    values.forEach((value, i) => expect(value).toBeCloseTo(planes[i]!, 6));
    expect(Math.min(...values)).toBeCloseTo(-1.7923, 4);
    expect(Math.max(...values)).toBeCloseTo(2.1459, 4);
  });

  it("refuses an image of another size, and reports both sizes", () => {
    expect(() => normalizePixels(new Uint8Array(12), clipPreprocess)).toThrow(
      /expected 224×224 RGB pixels \(150528 bytes\), got 12 bytes; resize and crop/,
    );
  });
});
