import { describe, expect, it } from "vitest";
import { Random } from "../../core/random.ts";
import { randomBackground } from "./background.ts";
import { placeOver, type Placement } from "./placement.ts";
import { packedPixels, unpackedPixels, type RasterImage } from "./raster-image.ts";

type Rigid = Omit<Placement, "displacement">;
const upright: Rigid = { scale: 1, shift: [0, 0], rotation: 0 };

function imageOf(size: number, pixels: Uint8Array, hasAlpha: boolean): RasterImage {
  return { width: size, height: size, pixels, hasAlpha, nearest: false };
}

function randomOpaque(random: Random, size: number): RasterImage {
  const pixels = Uint8Array.from({ length: 4 * size * size }, (_, i) => (i % 4 === 3 ? 255 : random.integer(256)));
  return imageOf(size, pixels, false);
}

function place(image: RasterImage, size: number, placement: Partial<Placement>, background = 0xff000000): Int32Array {
  const square = new Int32Array(size * size).fill(background);
  const still = new Float32Array(size * size);
  placeOver(square, size, image, { ...upright, displacement: { x: still, y: still }, ...placement });
  return square;
}

describe("placeOver", () => {
  it("of white on white is white, at any alpha and place", () => {
    const seed = Date.now();
    const random = new Random(seed);
    for (let round = 0; round < 50; round++) {
      const size = 10 + random.integer(90);
      const pixels = Uint8Array.from({ length: 4 * size * size }, (_, i) => (i % 4 === 3 ? random.integer(256) : 255));
      const placement: Rigid = {
        scale: random.uniform(0.1, 1.5),
        shift: [random.uniform(-1, 1), random.uniform(-1, 1)],
        rotation: random.uniform(-180, 180),
      };
      const square = place(imageOf(size, pixels, true), 32, placement, -1);
      expect(
        square.every((pixel) => pixel === -1),
        `seed ${seed}`,
      ).toBe(true);
    }
  });

  it("of a fully transparent image keeps the background", () => {
    const clear = imageOf(9, new Uint8Array(4 * 81), true);
    expect(place(clear, 16, { rotation: 20 }, 0xff336699)).toEqual(new Int32Array(256).fill(0xff336699));
  });

  it("composites: half of red over blue is purple", () => {
    const halfRed = imageOf(
      4,
      Uint8Array.from({ length: 64 }, (_, i) => [255, 0, 0, 128][i % 4]!),
      true,
    );
    const bytes = unpackedPixels(place(halfRed, 4, {}, 0xffff0000));
    expect([...bytes.subarray(20, 24)]).toEqual([128, 0, 127, 255]);
  });

  it("shifts right and down, exactly for whole pixels", () => {
    const image = randomOpaque(new Random(1), 16);
    const square = place(image, 16, { shift: [2 / 16, 5 / 16] });
    const source = packedPixels(image.pixels);
    square.forEach((pixel, i) => {
      const [x, y] = [i % 16, i >> 4];
      expect(pixel).toBe(x >= 2 && y >= 5 ? source[(y - 5) * 16 + x - 2]! : 0xff000000 | 0);
    });
  });

  it("samples right and down by the displacement", () => {
    const image = randomOpaque(new Random(3), 16);
    const displacement = { x: new Float32Array(256).fill(2), y: new Float32Array(256).fill(5) };
    expect(place(image, 16, { displacement })).toEqual(place(image, 16, { shift: [-2 / 16, -5 / 16] }));
  });

  it("turns clockwise", () => {
    const image = randomOpaque(new Random(2), 16);
    const turned = unpackedPixels(place(image, 16, { rotation: 90 }));
    for (let i = 0; i < turned.length; i++) {
      const [x, y] = [(i >> 2) % 16, i >> 6];
      const source = image.pixels[4 * ((15 - x) * 16 + y) + (i & 3)]!;
      expect(Math.abs(turned[i]! - source)).toBeLessThanOrEqual(1); // weights have 8 bits: one level of 255
    }
  });

  it("covers the square of its scale, and averages fine detail", () => {
    // A one-pixel checkerboard: at an eighth of its size every pixel must be the mean.
    const checks = imageOf(
      128,
      Uint8Array.from({ length: 4 * 128 * 128 }, (_, i) => {
        return i % 4 === 3 || ((i >> 2) + (i >> 9)) % 2 === 0 ? 255 : 0;
      }),
      false,
    );
    for (const scale of [0.25, 0.5, 0.8]) {
      const red = unpackedPixels(place(checks, 32, { scale, rotation: 10 })).filter((_, i) => i % 4 === 0);
      expect(red.reduce((sum, level) => sum + level, 0) / (32 * 32 * 127.5)).toBeCloseTo(scale * scale, 1);
      expect(Math.abs(red[16 * 32 + 16]! - 128)).toBeLessThanOrEqual(1);
    }
  });
});

describe("randomBackground", () => {
  it("is opaque, deterministic, and white, plain, a gradient or noise", () => {
    const kinds = { white: 0, plain: 0, varied: 0 };
    for (let key = 0; key < 400; key++) {
      const background = randomBackground(24, new Random(key));
      expect(background.every((pixel) => pixel >>> 24 === 255)).toBe(true);
      expect(randomBackground(24, new Random(key))).toEqual(background);
      const colours = new Set(background).size;
      kinds[colours > 1 ? "varied" : background[0] === -1 ? "white" : "plain"]++;
    }
    // 400 draws at ½, ⅙ and ⅓: five standard deviations are 50, 38 and 48.
    expect(Math.abs(kinds.white - 200)).toBeLessThan(50);
    expect(Math.abs(kinds.plain - 67)).toBeLessThan(38);
    expect(Math.abs(kinds.varied - 133)).toBeLessThan(48);
  });

  it("has no edges: neighbours differ by little", () => {
    for (let key = 0; key < 100; key++) {
      const bytes = unpackedPixels(randomBackground(64, new Random(key)));
      let steepest = 0;
      for (let i = 4; i < bytes.length; i++) {
        if (i % 256 > 3) steepest = Math.max(steepest, Math.abs(bytes[i]! - bytes[i - 4]!));
      }
      // At most 8 cells in 64 pixels: a step from 0 to 255 takes 8 pixels of 32 levels.
      expect(steepest).toBeLessThanOrEqual(33);
    }
  });
});
