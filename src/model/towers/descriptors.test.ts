import { describe, expect, it } from "vitest";
import { floats, randomInput, run } from "../../../test/engine/gradient-error.ts";
import { gradients } from "../../engine/autodiff/gradients.ts";
import { float32 } from "../../core/tensor-data.ts";
import { constant } from "../../engine/graph/tensor.ts";
import { descriptorCount, descriptors } from "./descriptors.ts";

const size = 32;
const drawing = randomInput([2, 3, size, size], { seed: 5 });
const describeAll = async (pixels: typeof drawing) => floats((await run({ y: descriptors(constant(pixels)) }))["y"]);

/** The same by loops, angles and double precision: one image, before each part is brought to mean 0 and deviation 1. */
function describedByLoops(pixels: Float32Array): number[] {
  const at = (channel: number, y: number, x: number) => pixels[(channel * size + y) * size + x]!;
  const grey = (y: number, x: number) => 0.299 * at(0, y, x) + 0.587 * at(1, y, x) + 0.114 * at(2, y, x);
  const cell = size / 16;
  const least = Math.cos(Math.PI / 9) ** 2;
  const result: number[] = [];
  for (const grid of [16, 8, 4, 2, 1]) {
    const sums = new Float64Array(9 * grid * grid);
    for (let y = 1; y < size - 1; y++) {
      for (let x = 1; x < size - 1; x++) {
        const [dx, dy] = [grey(y, x + 1) - grey(y, x - 1), grey(y + 1, x) - grey(y - 1, x)];
        for (let direction = 0; direction < 9; direction++) {
          const share = (Math.cos(Math.atan2(dy, dx) - (direction * Math.PI) / 9) ** 2 - least) / (1 - least);
          const place = Math.floor((y * grid) / size) * grid + Math.floor((x * grid) / size);
          sums[direction * grid * grid + place]! +=
            Math.max(share, 0) * ((dx ** 2 + dy ** 2) / Math.sqrt(dx ** 2 + dy ** 2 + 1e-6));
        }
      }
    }
    result.push(...Array.from(sums, (sum) => Math.sqrt(sum / (size / grid) ** 2 + 1e-4)));
  }
  const colours = Array.from({ length: 3 * 256 }, (_, i) => {
    const [channel, row, column] = [Math.floor(i / 256), Math.floor(i / 16) % 16, i % 16];
    let sum = 0;
    for (let y = 0; y < cell; y++) {
      for (let x = 0; x < cell; x++) sum += at(channel, row * cell + y, column * cell + x);
    }
    return sum / cell ** 2;
  });
  result.push(...colours);
  for (const grid of [4, 1]) {
    const shares = new Float64Array(64 * grid * grid);
    for (let place = 0; place < 256; place++) {
      const to = Math.floor((Math.floor(place / 16) * grid) / 16) * grid + Math.floor(((place % 16) * grid) / 16);
      for (let bin = 0; bin < 64; bin++) {
        const share = [Math.floor(bin / 16), Math.floor(bin / 4) % 4, bin % 4].reduce(
          (product, index, channel) =>
            product * Math.max(0, 1 - Math.abs(colours[channel * 256 + place]! - (-1 + (2 * index) / 3)) * 1.5),
          1,
        );
        shares[bin * grid * grid + to]! += share / (256 / grid ** 2);
      }
    }
    result.push(...Array.from(shares, (share) => Math.sqrt(share + 1e-4)));
  }
  return result;
}

describe("descriptors", () => {
  it("are histograms of gradients, colours, and shares of colours, each part shifted and scaled", async () => {
    const got = await describeAll(drawing);
    expect(got).toHaveLength(2 * descriptorCount);
    const parts = [2304, 576, 144, 36, 9, 768, 1088];
    for (const image of [0, 1]) {
      const wanted = describedByLoops(drawing.data.slice(image * 3 * size ** 2, (image + 1) * 3 * size ** 2));
      expect(wanted).toHaveLength(descriptorCount);
      let from = 0;
      for (const length of parts) {
        const rows = Array.from({ length }, (_, i) => [wanted[from + i]!, got[image * descriptorCount + from + i]!]);
        // got = (wanted − mean) / deviation: the two from the smallest and the largest of them.
        const [low, high] = [rows.toSorted(([a], [b]) => a! - b!)[0]!, rows.toSorted(([a], [b]) => b! - a!)[0]!];
        const slope = (high[1]! - low[1]!) / (high[0]! - low[0]!);
        expect(slope).toBeGreaterThan(1);
        for (const [value, standard] of rows)
          expect(standard! - (low[1]! + slope * (value! - low[0]!))).toBeCloseTo(0, 4);
        from += length;
      }
    }
  });

  it("tell a direction from the one across, and not an edge from its negative", async () => {
    const ramp = (value: (x: number, y: number) => number) =>
      float32(
        Float32Array.from({ length: 3 * size ** 2 }, (_, i) => value(i % size, Math.floor(i / size) % size)),
        [1, 3, size, size],
      );
    const whole = async (pixels: typeof drawing) => {
      const from = 2304 + 576 + 144 + 36;
      return [...(await describeAll(pixels)).slice(from, from + 9)].map((value) => Math.round(value * 100) / 100);
    };
    const right = await whole(ramp((x) => x / size - 0.5));
    const down = await whole(ramp((_, y) => y / size - 0.5));
    expect(right.indexOf(Math.max(...right))).toBe(0);
    expect([4, 5]).toContain(down.indexOf(Math.max(...down)));
    expect(await whole(ramp((x) => 0.5 - x / size))).toEqual(right);
  });

  it("have a gradient everywhere, on plain white too", async () => {
    const white = constant(float32(new Float32Array(3 * size ** 2).fill(1), [1, 3, size, size]));
    const [slope] = gradients(descriptors(white).sum(), [white]);
    expect(floats((await run({ slope: slope! }))["slope"]).every(Number.isFinite)).toBe(true);
  });
});
