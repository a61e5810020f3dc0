import { describe, expect, it } from "vitest";
import { decodeImage } from "../../src/inputs/image/decode.ts";
import { drawWord, readFace } from "./draw.ts";

const size = 64;
const fonts = await Promise.all(["roboto-latin-700-normal", "pt-sans-latin-400-normal"].map(readFace));

/** How dark each pixel is, 0 to 255, row by row. */
async function inkOf(text: string, font = fonts[0]!): Promise<number[]> {
  const { width, height, pixels } = await decodeImage(await drawWord(text, font, size));
  expect([width, height]).toEqual([size, size]);
  return Array.from({ length: size * size }, (_, i) => 255 - pixels[4 * i]!);
}
/** First and last row or column with ink. */
function extent(ink: readonly number[], along: (i: number) => number): [number, number] {
  const places = ink.flatMap((dark, i) => (dark > 64 ? along(i) : []));
  return [Math.min(...places), Math.max(...places)];
}

describe("drawWord", () => {
  it.each(["i", "mum", "giraffe", "ylang"])("puts %j into the middle, within its margins", async (text) => {
    const ink = await inkOf(text);
    const [left, right] = extent(ink, (i) => i % size);
    const [top, bottom] = extent(ink, (i) => Math.floor(i / size));
    for (const [first, last] of [
      [left, right],
      [top, bottom],
    ] as const)
      expect(Math.abs(first + last + 1 - size)).toBeLessThanOrEqual(2);
    expect(right - left + 1).toBeLessThanOrEqual(0.9 * size + 1);
    expect(bottom - top + 1).toBeLessThanOrEqual(0.5 * size + 1);
    // As large as fits: one of the two is reached.
    expect(Math.max((right - left + 1) / 0.9, (bottom - top + 1) / 0.5)).toBeGreaterThanOrEqual(size - 3);
  });

  it("draws letters in their order, in the face that was asked for", async () => {
    const word = await inkOf("dam");
    const difference = (a: readonly number[]) => a.filter((dark, i) => Math.abs(dark - word[i]!) > 64).length;
    expect(difference(await inkOf("dam"))).toBe(0);
    expect(difference(await inkOf("mad"))).toBeGreaterThan(50);
    expect(difference(await inkOf("dam", fonts[1]))).toBeGreaterThan(50);
  });
});
