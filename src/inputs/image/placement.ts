import { evenChannels, premultiply, scaleChannels } from "./alpha.ts";
import { packedPixels, type RasterImage, type Size } from "./raster-image.ts";

/** Position, size and distortion of an image within a square. */
export interface Placement {
  /** Longer side of the image as a share of the square's side. */
  readonly scale: number;
  /** Offset of its centre from the square's, as shares of the square's side; positive is right and down. */
  readonly shift: readonly [number, number];
  /** Clockwise, in degrees. */
  readonly rotation: number;
  /** Offset at which each pixel of the square is sampled. */
  readonly displacement: Displacement;
}

/** Two fields [size, size], row-major, in pixels of the square; positive is right and down. */
export interface Displacement {
  readonly x: Float32Array;
  readonly y: Float32Array;
}

/** An image with premultiplied alpha and a border of one transparent pixel, so that sampling needs no edge cases. */
interface Bordered extends Size {
  /** Packed, [height + 2, width + 2]. */
  readonly pixels: Int32Array;
  /** Size of one pixel in pixels of the original. */
  readonly span: number;
}

/**
 * Draws the image, with its alpha, over an opaque background [size, size], which is modified.
 *
 * Each pixel is one bilinear sample of the image, which is first halved until a step is under two pixels: fast and
 * smooth enough for training, but equal to no reference.
 */
export function placeOver(background: Int32Array, size: number, image: RasterImage, placement: Placement): void {
  const step = Math.max(image.width, image.height) / (size * placement.scale);
  let source = withBorder(image);
  while (step >= 2 * source.span) source = halve(source);

  const { width, height, pixels, span } = source;
  const { displacement } = placement;
  const stride = width + 2;
  const angle = (placement.rotation * Math.PI) / 180;
  const cos = (Math.cos(angle) * step) / span;
  const sin = (Math.sin(angle) * step) / span;
  const left = 0.5 - size * (0.5 + placement.shift[0]);
  const top = 0.5 - size * (0.5 + placement.shift[1]);
  for (let y = 0, i = 0; y < size; y++) {
    // Position of this row's first pixel in the bordered image; the border minus half a pixel adds ½.
    let u = image.width / (2 * span) + 0.5 + cos * left + sin * (y + top);
    let v = image.height / (2 * span) + 0.5 - sin * left + cos * (y + top);
    for (let x = 0; x < size; x++, i++, u += cos, v -= sin) {
      const aside = displacement.x[i]!;
      const below = displacement.y[i]!;
      const across = u + cos * aside + sin * below;
      const down = v - sin * aside + cos * below;
      if (across < 0 || down < 0 || across >= width + 1 || down >= height + 1) continue;
      const column = across | 0;
      const row = down | 0;
      const right = ((across - column) * 256) | 0;
      const low = ((down - row) * 256) | 0;
      const pixel = bilinear(pixels, row * stride + column, stride, right, low);
      background[i] = over(pixel, background[i]!);
    }
  }
}

function withBorder({ width, height, pixels }: RasterImage): Bordered {
  const packed = packedPixels(pixels);
  const bordered = new Int32Array((width + 2) * (height + 2));
  for (let y = 0, from = 0; y < height; y++) {
    for (let x = 0, to = (y + 1) * (width + 2) + 1; x < width; x++) bordered[to++] = premultiply(packed[from++]!);
  }
  return { width, height, pixels: bordered, span: 1 };
}

/** Halves the size: each pixel is the mean of four. */
function halve({ width, height, pixels, span }: Bordered): Bordered {
  const halfWidth = (width + 1) >> 1;
  const halfHeight = (height + 1) >> 1;
  const half = new Int32Array((halfWidth + 2) * (halfHeight + 2));
  for (let y = 0; y < halfHeight; y++) {
    for (let x = 0; x < halfWidth; x++) {
      const from = (2 * y + 1) * (width + 2) + 2 * x + 1;
      half[(y + 1) * (halfWidth + 2) + x + 1] = bilinear(pixels, from, width + 2, 128, 128);
    }
  }
  return { width: halfWidth, height: halfHeight, pixels: half, span: 2 * span };
}

/**
 * Weighted mean of the pixel at `from`, its right neighbour, and the two below; each multiplication handles two
 * channels.
 *
 * @param right - weight of the right pair, out of 256; likewise `below` for the lower pair.
 */
function bilinear(pixels: Int32Array, from: number, stride: number, right: number, below: number): number {
  const a = pixels[from]!;
  const b = pixels[from + 1]!;
  const c = pixels[from + stride]!;
  const d = pixels[from + stride + 1]!;
  if ((a & b & c & d) === (a | b | c | d)) return a; // four equal pixels: most of a drawing
  const weightD = (right * below) >> 8;
  const weightB = right - weightD;
  const weightC = below - weightD;
  const weightA = 256 - right - weightC;
  // `| 0` lets the compiler keep 32-bit integers.
  let redBlue = (Math.imul(a & evenChannels, weightA) + 0x800080) | 0;
  redBlue = (redBlue + Math.imul(b & evenChannels, weightB)) | 0;
  redBlue = (redBlue + Math.imul(c & evenChannels, weightC)) | 0;
  redBlue = (redBlue + Math.imul(d & evenChannels, weightD)) | 0;
  let greenAlpha = (Math.imul((a >>> 8) & evenChannels, weightA) + 0x800080) | 0;
  greenAlpha = (greenAlpha + Math.imul((b >>> 8) & evenChannels, weightB)) | 0;
  greenAlpha = (greenAlpha + Math.imul((c >>> 8) & evenChannels, weightC)) | 0;
  greenAlpha = (greenAlpha + Math.imul((d >>> 8) & evenChannels, weightD)) | 0;
  return ((redBlue >>> 8) & evenChannels) | (greenAlpha & 0xff00ff00);
}

/** Composites a premultiplied pixel over an opaque one: top + below × (255 − alpha) / 255. */
function over(top: number, below: number): number {
  const rest = 255 - (top >>> 24);
  if (rest === 0) return top;
  const redBlue = scaleChannels(below & evenChannels, rest);
  const greenAlpha = scaleChannels((below >>> 8) & evenChannels, rest);
  return (top + (redBlue | (greenAlpha << 8))) | 0;
}
