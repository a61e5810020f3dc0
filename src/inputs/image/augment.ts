import {
  checkKind,
  checkOptions,
  type Kind,
  number,
  numberFrom,
  oneOf,
  type OptionKinds,
  record,
  wholeNumber,
} from "../../core/options.ts";
import type { Random } from "../../core/random.ts";
import { randomBackground } from "./background.ts";
import { cropImage } from "./crop.ts";
import { placeOver } from "./placement.ts";
import { checkRaster, packedPixels, unpackedPixels, type Box, type RasterImage, type Size } from "./raster-image.ts";
import { applyTaps, resample, tapsOf } from "./resample.ts";

/** For photos: a random crop of the image, resized to the square with Pillow's bicubic filter. */
export interface RandomResizedCrop {
  readonly kind: "randomResizedCrop";
  /** Range of the crop's share of the image's area, [least, most], in (0, 1]; its aspect ratio is 3 : 4 to 4 : 3. */
  readonly area: readonly [number, number];
}

/** For drawings, with or without transparency: the whole image placed at random on a background. */
export interface RandomPlacement {
  readonly kind: "randomPlacement";
  /** Background of the image: black, or one of `randomBackground`. */
  readonly background: "none" | "random";
  /** Range of the longer side as a share of the square's side, [least, most], in (0, 2]; [1, 1] fills the square. */
  readonly scale: readonly [number, number];
  /** Largest shift along each axis as a share of the square's side, in [0, 1]. */
  readonly shift: number;
  /** Largest rotation either way, in degrees, in [0, 180]; beyond 15 a caption may become wrong. */
  readonly rotation: number;
  /** Largest displacement by a smooth random field along each axis, as a share of the square's side, in [0, 0.2]. */
  readonly warp: number;
}

/**
 * Augmentation of training images. Zero turns a variation off. Mirroring and hue changes are missing on purpose:
 * captions mention sides and colours.
 */
export interface AugmentConfig {
  readonly geometry: RandomResizedCrop | RandomPlacement;
  /** Largest standard deviation of a Gaussian blur, in pixels of the square, in [0, 8]. */
  readonly blur: number;
  /** Largest relative change of brightness, in [0, 1]: 0.2 multiplies by 0.8 … 1.2. */
  readonly brightness: number;
  /** Largest relative change of contrast, around the image's mean grey, in [0, 1]. */
  readonly contrast: number;
  /** Largest relative change of saturation, around grey of the same lightness, in [0, 1]. */
  readonly saturation: number;
  /** Probability of a greyscale image, in [0, 1]. */
  readonly grayscale: number;
  /** Longest side of a filled rectangle drawn over the image, as a share of the square's side, in [0, 1]. */
  readonly erase: number;
}

/** open_clip's augmentation: a crop of at least nine tenths of the photo's area, with unchanged colours. */
export const photoAugment: AugmentConfig = {
  geometry: { kind: "randomResizedCrop", area: [0.9, 1] },
  blur: 0,
  brightness: 0,
  contrast: 0,
  saturation: 0,
  grayscale: 0,
  erase: 0,
};

const range: Kind = {
  wanted: "[least, most]",
  fits: (value) => Array.isArray(value) && value.length === 2 && value.every(number.fits),
};
const augmentKinds: OptionKinds<AugmentConfig> = {
  ...{ geometry: record, blur: numberFrom(0, 8), brightness: numberFrom(0, 1), contrast: numberFrom(0, 1) },
  ...{ saturation: numberFrom(0, 1), grayscale: numberFrom(0, 1), erase: numberFrom(0, 1) },
};
const cropKinds: OptionKinds<RandomResizedCrop> = { kind: oneOf("randomResizedCrop"), area: range };
const placementKinds: OptionKinds<RandomPlacement> = {
  ...{ kind: oneOf("randomPlacement"), background: oneOf("none", "random"), scale: range, shift: numberFrom(0, 1) },
  ...{ rotation: numberFrom(0, 180), warp: numberFrom(0, 0.2) },
};
const keysOf = <Value extends object>(kinds: OptionKinds<Value>) => Object.keys(kinds) as (keyof Value & string)[];

/** Checks the configuration for callers in plain JavaScript. */
function checkAugment(config: AugmentConfig): void {
  checkOptions("augmentImage", config, augmentKinds, keysOf(augmentKinds));
  const { geometry } = config;
  checkKind("augmentImage: geometry.kind", geometry.kind, oneOf("randomResizedCrop", "randomPlacement"));
  if (geometry.kind === "randomPlacement")
    checkOptions("augmentImage: geometry", geometry, placementKinds, keysOf(placementKinds));
  else checkOptions("augmentImage: geometry", geometry, cropKinds, keysOf(cropKinds));
}

/**
 * Makes a random variation of the image for `normalizePixels`. Deterministic for a given state of `random`.
 *
 * @param imageSize - side of the square, S, in pixels.
 * @returns 8-bit RGB [S, S, 3].
 * @throws {ClipError} `CLIP_IMAGE` if the image's fields are inconsistent.
 */
export function augmentImage(image: RasterImage, imageSize: number, config: AugmentConfig, random: Random): Uint8Array {
  checkKind("augmentImage: imageSize", imageSize, wholeNumber(1));
  checkRaster(image);
  checkAugment(config);
  const { geometry } = config;
  const square =
    geometry.kind === "randomPlacement"
      ? placeAtRandom(image, imageSize, geometry, random)
      : cropAtRandom(image, imageSize, geometry, random);
  const blurred = blur(square, random.uniform(0, config.blur));
  const colours = varyColours(packedPixels(blurred.pixels), config, random);
  erase(colours, imageSize, config.erase, random);
  return colours;
}

function placeAtRandom(image: RasterImage, size: number, geometry: RandomPlacement, random: Random): RasterImage {
  const { background, scale, shift, rotation, warp } = geometry;
  const square = background === "random" ? randomBackground(size, random) : new Int32Array(size * size);
  placeOver(square, size, image, {
    scale: random.uniform(...scale),
    shift: [random.uniform(-shift, shift), random.uniform(-shift, shift)],
    rotation: random.uniform(-rotation, rotation),
    displacement: { x: smoothField(size, warp * size, random), y: smoothField(size, warp * size, random) },
  });
  return { width: size, height: size, pixels: unpackedPixels(square), hasAlpha: false, nearest: false };
}

/** A field [size, size] interpolated bilinearly between 5 × 5 random knots in [−most, most]. */
function smoothField(size: number, most: number, random: Random): Float32Array {
  const cells = 4;
  const field = new Float32Array(size * size);
  if (most === 0) return field;
  const knots = Float32Array.from({ length: (cells + 1) ** 2 }, () => random.uniform(-most, most));
  const step = cells / size;
  for (let y = 0, i = 0; y < size; y++) {
    const row = (y * step) | 0;
    const below = y * step - row;
    for (let x = 0; x < size; x++, i++) {
      const column = (x * step) | 0;
      const right = x * step - column;
      const at = row * (cells + 1) + column;
      const upper = knots[at]! + (knots[at + 1]! - knots[at]!) * right;
      const lower = knots[at + cells + 1]! + (knots[at + cells + 2]! - knots[at + cells + 1]!) * right;
      field[i] = upper + (lower - upper) * below;
    }
  }
  return field;
}

/** Draws a rectangle of a random colour at a random place of the image [size, size, 3]. */
function erase(colours: Uint8Array, size: number, longest: number, random: Random): void {
  if (longest === 0) return;
  const side = () => Math.round(random.uniform(0, longest) * size);
  const [width, height] = [side(), side()];
  const [left, top] = [random.integer(size - width + 1), random.integer(size - height + 1)];
  const colour = Uint8Array.from({ length: 3 }, () => random.integer(256));
  for (let y = top; y < top + height; y++) {
    for (let x = left; x < left + width; x++) colours.set(colour, 3 * (y * size + x));
  }
}

function cropAtRandom(image: RasterImage, size: number, geometry: RandomResizedCrop, random: Random): RasterImage {
  const part = cropImage(image, randomPart(image, geometry.area, random));
  return resample(part, { width: size, height: size }, { left: 0, top: 0, width: size, height: size }, "bicubic");
}

/** Blurs a square with a Gaussian, `sigma` in pixels; below 0.3 the change is negligible and skipped. */
function blur(image: RasterImage, sigma: number): RasterImage {
  if (sigma < 0.3) return image;
  const gaussian = { reach: 2.5 * sigma + 0.5, weight: (x: number) => Math.exp(-(x * x) / (2 * sigma * sigma)) };
  const taps = tapsOf(image.width, image.width, 0, image.width, gaussian);
  return applyTaps(image, taps, taps);
}

/** A crop as in torchvision's `RandomResizedCrop`: ten tries, then the largest central one with an allowed aspect ratio. */
function randomPart({ width, height }: Size, area: readonly [number, number], random: Random): Box {
  for (let attempt = 0; attempt < 10; attempt++) {
    const pixels = width * height * random.uniform(...area);
    const ratio = Math.exp(random.uniform(Math.log(3 / 4), Math.log(4 / 3)));
    const part = { width: Math.round(Math.sqrt(pixels * ratio)), height: Math.round(Math.sqrt(pixels / ratio)) };
    if (part.width < 1 || part.height < 1 || part.width > width || part.height > height) continue;
    const left = random.integer(width - part.width + 1);
    return { left, top: random.integer(height - part.height + 1), ...part };
  }
  const part = {
    width: Math.min(width, Math.round((height * 4) / 3)),
    height: Math.min(height, Math.round((width * 4) / 3)),
  };
  return { left: (width - part.width) >> 1, top: (height - part.height) >> 1, ...part };
}

/** Changes brightness, contrast, then saturation, in one step, since each is linear in the pixel and its grey. */
function varyColours(pixels: Int32Array, config: AugmentConfig, random: Random): Uint8Array {
  const brightness = 1 + random.uniform(-config.brightness, config.brightness);
  const contrast = 1 + random.uniform(-config.contrast, config.contrast);
  const isGrey = random.uniform() < config.grayscale;
  const saturation = isGrey ? 0 : 1 + random.uniform(-config.saturation, config.saturation);

  let greySum = 0;
  for (let i = 0; i < pixels.length; i++) greySum += greyOf(pixels[i]!);
  const offset = (1 - contrast) * brightness * (greySum / pixels.length);
  const own = brightness * contrast * saturation;
  const shared = brightness * contrast * (1 - saturation);
  const colours = new Uint8ClampedArray(3 * pixels.length); // rounds and clamps on assignment
  for (let i = 0, to = 0; i < pixels.length; i++, to += 3) {
    const pixel = pixels[i]!;
    const base = shared * greyOf(pixel) + offset;
    colours[to] = own * (pixel & 255) + base;
    colours[to + 1] = own * ((pixel >>> 8) & 255) + base;
    colours[to + 2] = own * ((pixel >>> 16) & 255) + base;
  }
  return new Uint8Array(colours.buffer);
}

/** Lightness of a pixel by the weights of ITU-R BT.601, an integer in [0, 255]. */
function greyOf(pixel: number): number {
  return (77 * (pixel & 255) + 150 * ((pixel >>> 8) & 255) + 29 * ((pixel >>> 16) & 255)) >> 8;
}
