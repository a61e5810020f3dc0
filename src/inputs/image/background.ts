import type { Random } from "../../core/random.ts";
import { evenChannels } from "./alpha.ts";

/** Makes an opaque background [size, size], packed like `packedPixels`. */
type Background = (size: number, random: Random) => Int32Array;

const backgrounds: readonly Background[] = [
  (size, random) => new Int32Array(size * size).fill(randomColour(random)),
  gradient,
  noise,
];

/** White, the most common background, half of the time; otherwise one colour, a gradient of two, or soft noise. */
export function randomBackground(size: number, random: Random): Int32Array {
  if (random.uniform() < 0.5) return new Int32Array(size * size).fill(-1);
  return backgrounds[random.integer(backgrounds.length)]!(size, random);
}

function randomColour(random: Random): number {
  return random.uint32() | 0xff000000;
}

function gradient(size: number, random: Random): Int32Array {
  const [from, to] = [randomColour(random), randomColour(random)];
  const angle = random.uniform(0, 2 * Math.PI);
  // The weight of `to` is 128 in the centre; it reaches 0 and 256 at opposite corners if the gradient is diagonal.
  const [dx, dy] = [(Math.cos(angle) * 181) / size, (Math.sin(angle) * 181) / size];
  const result = new Int32Array(size * size);
  for (let y = 0, i = 0; y < size; y++) {
    let weight = 128 + dy * (y - size / 2) - (dx * size) / 2;
    for (let x = 0; x < size; x++, i++, weight += dx) result[i] = blend(from, to, weight);
  }
  return result;
}

/** A coarse grid of random colours, interpolated along rows, then between rows. */
function noise(size: number, random: Random): Int32Array {
  const cells = 2 + random.integer(7);
  const step = cells / size;
  const across = new Int32Array((cells + 1) * size);
  for (let row = 0; row <= cells; row++) {
    const corners = Int32Array.from({ length: cells + 1 }, () => randomColour(random));
    for (let x = 0; x < size; x++) {
      const cell = (x * step) | 0;
      across[row * size + x] = blend(corners[cell]!, corners[cell + 1]!, (x * step - cell) * 256);
    }
  }
  const result = new Int32Array(size * size);
  for (let y = 0, i = 0; y < size; y++) {
    const cell = (y * step) | 0;
    const weight = (y * step - cell) * 256;
    for (let from = cell * size; i < (y + 1) * size; i++, from++) {
      result[i] = blend(across[from]!, across[from + size]!, weight);
    }
  }
  return result;
}

/** Interpolates from `from` (weight 0) to `to` (weight 256), two channels at a time. */
function blend(from: number, to: number, weight: number): number {
  const b = weight | 0;
  const a = 256 - b;
  const redBlue = (Math.imul(from & evenChannels, a) + Math.imul(to & evenChannels, b)) | 0;
  const greenAlpha = (Math.imul((from >>> 8) & evenChannels, a) + Math.imul((to >>> 8) & evenChannels, b)) | 0;
  return ((redBlue >>> 8) & evenChannels) | (greenAlpha & 0xff00ff00);
}
