import { describe, expect, it } from "vitest";
import { Random } from "../../core/random.ts";
import { augmentImage, photoAugment, type AugmentConfig } from "./augment.ts";
import type { RasterImage } from "./raster-image.ts";
import { resample } from "./resample.ts";

/** An image whose pixel (x, y) is `colour(x, y)`: R, G, B and optional alpha. */
function image(width: number, height: number, colour: (x: number, y: number) => number[]): RasterImage {
  const pixels = new Uint8Array(4 * width * height).fill(255);
  for (let i = 0; i < width * height; i++) pixels.set(colour(i % width, Math.floor(i / width)), 4 * i);
  return { width, height, pixels, hasAlpha: colour(0, 0).length === 4, nearest: false };
}

const stillGeometry = {
  kind: "randomPlacement",
  background: "none",
  scale: [1, 1],
  shift: 0,
  rotation: 0,
  warp: 0,
} as const;
const still: AugmentConfig = {
  geometry: stillGeometry,
  blur: 0,
  brightness: 0,
  contrast: 0,
  saturation: 0,
  grayscale: 0,
  erase: 0,
};
const lively: AugmentConfig = {
  geometry: { kind: "randomPlacement", background: "random", scale: [0.5, 1.1], shift: 0.1, rotation: 15, warp: 0.05 },
  blur: 1,
  brightness: 0.2,
  contrast: 0.2,
  saturation: 0.2,
  grayscale: 0.1,
  erase: 0.3,
};

const noise = (random: Random) => () => [random.integer(256), random.integer(256), random.integer(256)];
const coloursOf = (image: RasterImage) => image.pixels.filter((_, i) => i % 4 !== 3);

describe("augmentImage", () => {
  it("returns the same bytes for the same key, and different bytes for another", () => {
    const drawing = image(48, 48, (x, y) => [x * 5, y * 5, 90, x > 12 && y > 12 ? 255 : 0]);
    for (const config of [lively, { ...lively, geometry: photoAugment.geometry }]) {
      const [first, again] = [0, 0].map(() => augmentImage(drawing, 32, config, new Random(7, 1, 2)));
      expect(again).toEqual(first);
      expect(augmentImage(drawing, 32, config, new Random(7, 1, 3))).not.toEqual(first);
    }
  });

  it("changes nothing when everything is off and the image has the size", () => {
    const drawing = image(32, 32, noise(new Random(1)));
    expect(augmentImage(drawing, 32, still, new Random(2))).toEqual(coloursOf(drawing));
  });

  it("does not change the image it is given", () => {
    const drawing = image(32, 32, (x, y) => [x * 8, y * 8, 0, (x * y) & 255]);
    const before = drawing.pixels.slice();
    augmentImage(drawing, 32, lively, new Random(3));
    expect(drawing.pixels).toEqual(before);
  });

  it("never mirrors, and rotates within its limit", () => {
    // Red increases to the right, green downwards; their slopes give the rotation.
    const ramp = image(64, 64, (x, y) => [4 * x, 4 * y, 0]);
    const geometry = { ...stillGeometry, rotation: 15 };
    const turns = Array.from({ length: 200 }, (_, key) => {
      const pixels = augmentImage(ramp, 64, { ...still, geometry }, new Random(key));
      const at = (x: number, y: number, channel: number) => pixels[3 * (64 * y + x) + channel]!;
      const turn = (Math.atan2(at(32, 48, 0) - at(32, 16, 0), at(48, 32, 0) - at(16, 32, 0)) * 180) / Math.PI;
      const same = (Math.atan2(at(16, 32, 1) - at(48, 32, 1), at(32, 48, 1) - at(32, 16, 1)) * 180) / Math.PI;
      expect(Math.abs(turn - same)).toBeLessThan(1.5); // one level of 128 is half a degree
      return turn;
    });
    expect(Math.max(...turns.map(Math.abs))).toBeLessThan(15.6);
    expect(Math.max(...turns)).toBeGreaterThan(12);
    expect(Math.min(...turns)).toBeLessThan(-12);
  });

  it("warps within its limit along each axis, and not uniformly", () => {
    const ramp = image(64, 64, (x, y) => [4 * x, 4 * y, 0]);
    const config: AugmentConfig = { ...still, geometry: { ...stillGeometry, warp: 0.05 } }; // 3.2 pixels, 12.8 levels
    let furthest = 0;
    for (let key = 0; key < 20; key++) {
      const pixels = augmentImage(ramp, 64, config, new Random(key));
      const moves = new Set<number>();
      for (let y = 8; y < 56; y++) {
        for (let x = 8; x < 56; x++) {
          moves.add(pixels[3 * (64 * y + x)]! - 4 * x);
          furthest = Math.max(furthest, Math.abs(pixels[3 * (64 * y + x) + 1]! - 4 * y));
        }
      }
      expect(moves.size).toBeGreaterThan(3);
      expect(Math.max(...Array.from(moves, Math.abs))).toBeLessThanOrEqual(14);
    }
    expect(furthest).toBeLessThanOrEqual(14);
    expect(furthest).toBeGreaterThan(9);
  });

  it("erases one rectangle, in one colour, within its limit", () => {
    const plain = image(32, 32, () => [100, 150, 50]);
    let longest = 0;
    for (let key = 0; key < 50; key++) {
      const pixels = augmentImage(plain, 32, { ...still, erase: 0.5 }, new Random(key));
      const colourAt = (i: number) => pixels.subarray(3 * i, 3 * i + 3).join();
      const erased = Array.from({ length: 32 * 32 }, (_, i) => i).filter((i) => colourAt(i) !== "100,150,50");
      if (erased.length === 0) continue;
      expect(new Set(erased.map(colourAt)).size).toBe(1);
      const [columns, rows] = [new Set(erased.map((i) => i % 32)).size, new Set(erased.map((i) => i >> 5)).size];
      expect(columns * rows).toBe(erased.length);
      longest = Math.max(longest, columns, rows);
    }
    expect(longest).toBeLessThanOrEqual(16);
    expect(longest).toBeGreaterThan(12);
  });

  it("scales brightness within its bounds and nothing else", () => {
    const plain = image(16, 16, () => [100, 150, 50]);
    const factors = Array.from({ length: 100 }, (_, key) => {
      const [red, green, blue] = augmentImage(
        plain,
        16,
        { ...still, brightness: 0.3 },
        new Random(key),
      ) as unknown as number[];
      expect(Math.abs(red! * 1.5 - green!)).toBeLessThanOrEqual(1.25); // each rounded separately
      expect(Math.abs(red! * 0.5 - blue!)).toBeLessThanOrEqual(0.75);
      return red! / 100;
    });
    expect(Math.min(...factors)).toBeGreaterThanOrEqual(0.7);
    expect(Math.min(...factors)).toBeLessThan(0.75);
    expect(Math.max(...factors)).toBeLessThanOrEqual(1.3);
    expect(Math.max(...factors)).toBeGreaterThan(1.25);
  });

  it("keeps a grey image grey at any saturation, and the mean grey at any contrast", () => {
    const grey = image(16, 16, (x, y) => Array<number>(3).fill(60 + 7 * (x % 8) + y));
    for (let key = 0; key < 20; key++) {
      expect(augmentImage(grey, 16, { ...still, saturation: 1 }, new Random(key))).toEqual(coloursOf(grey));
      const contrasted = augmentImage(grey, 16, { ...still, contrast: 0.5 }, new Random(key));
      const mean = (values: Uint8Array) => values.reduce((sum, level) => sum + level, 0) / values.length;
      expect(mean(contrasted)).toBeCloseTo(mean(coloursOf(grey)), 0);
    }
  });

  it("removes all colour at grayscale 1, and keeps lightness", () => {
    const pixels = augmentImage(
      image(8, 8, () => [200, 100, 50]),
      8,
      { ...still, grayscale: 1 },
      new Random(1),
    );
    expect(new Set(pixels)).toEqual(new Set([Math.trunc((77 * 200 + 150 * 100 + 29 * 50) / 256)]));
  });

  it("blurs a point into a round spot with the same sum", () => {
    const point = image(33, 33, (x, y) => (x === 16 && y === 16 ? [255, 255, 255] : [0, 0, 0]));
    const pixels = augmentImage(point, 33, { ...still, blur: 2 }, new Random(4));
    const red = pixels.filter((_, i) => i % 3 === 0);
    const at = (x: number, y: number) => red[33 * y + x]!;
    for (let k = 0; k < 6; k++)
      expect(new Set([at(16 + k, 16), at(16 - k, 16), at(16, 16 + k), at(16, 16 - k)]).size).toBe(1);
    expect(at(16, 16)).toBeLessThan(200);
    const sum = red.reduce((total, level) => total + level, 0);
    expect(Math.abs(sum - 255)).toBeLessThan(20); // each of 25 levels is rounded twice; measured 3
  });
});

describe("augmentImage, with a random resized crop", () => {
  const photo = image(256, 256, (x, y) => [x, y, 0]);

  it("keeps the requested share of the area, upright, at varying places", () => {
    const lefts = Array.from({ length: 200 }, (_, key) => {
      const geometry = { kind: "randomResizedCrop", area: [0.5, 0.6] } as const;
      const pixels = augmentImage(photo, 64, { ...photoAugment, geometry }, new Random(key));
      const at = (x: number, y: number, channel: number) => pixels[3 * (64 * y + x) + channel]!;
      // Of 64 columns, the 17th to the 49th are half the crop's width.
      const width = 2 * (at(48, 32, 0) - at(16, 32, 0));
      const height = 2 * (at(32, 48, 1) - at(32, 16, 1));
      expect((width * height) / 256 ** 2).toBeGreaterThan(0.48);
      expect((width * height) / 256 ** 2).toBeLessThan(0.62);
      expect(width / height).toBeGreaterThan(0.73);
      expect(width / height).toBeLessThan(1.37);
      return at(0, 0, 0);
    });
    expect(Math.min(...lefts)).toBeLessThan(10);
    expect(Math.max(...lefts)).toBeGreaterThan(70);
  });

  it("equals a plain resize if it keeps the whole square image", () => {
    const whole = { left: 0, top: 0, width: 64, height: 64 };
    const geometry = { kind: "randomResizedCrop", area: [1, 1] } as const;
    const pixels = augmentImage(photo, 64, { ...photoAugment, geometry }, new Random(5));
    expect(pixels).toEqual(coloursOf(resample(photo, whole, whole, "bicubic")));
  });

  it("takes the centre of an image too long for any crop", () => {
    const strip = image(300, 30, (x) => [Math.trunc((x * 255) / 299), 0, 0]);
    const pixels = augmentImage(strip, 8, photoAugment, new Random(6));
    expect(pixels[0]! + pixels[21]!).toBeCloseTo(255, -1);
    expect(pixels[21]! - pixels[0]!).toBeLessThan((255 * 40) / 300);
  });
});
