import { premultiply, unpremultiply } from "./alpha.ts";
import { cropImage } from "./crop.ts";
import { packedPixels, unpackedPixels, type Box, type RasterImage, type Size } from "./raster-image.ts";
import { precisionBits, rowKernel } from "./weigh-rows.ts";

/** A resampling filter: its radius, and its weight at a distance, in pixels of the coarser grid. */
export interface Filter {
  readonly reach: number;
  readonly weight: (distance: number) => number;
}

const filters = {
  bilinear: { reach: 1, weight: (distance) => Math.max(0, 1 - Math.abs(distance)) },
  // Keys' cubic with a = −½.
  bicubic: {
    reach: 2,
    weight: (distance) => {
      const x = Math.abs(distance);
      if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
    },
  },
} as const satisfies Record<string, Filter>;

/** Resampling filters of published preprocessing configurations. */
export type ResampleFilter = keyof typeof filters;

/** Approximate size of the bands of rows passed to the kernel, to bound its memory. */
const bandBytes = 2 ** 20;

/** Inputs and weights of each output pixel along one axis. */
export interface Taps {
  /** For each output a record of `stride` integers: first input, number of inputs, weights; the format of `Kernel`. */
  readonly records: Int32Array;
  readonly stride: number;
}

/**
 * Resizes the image to `target` and crops it to `region`; equals Pillow's `resize` and `crop` bit for bit.
 *
 * Antialiased, columns first, rounded to 8 bits between the passes. Transparent images are resized with premultiplied
 * colours; images marked `nearest` use the nearest pixel regardless of the filter. Computes only the pixels that
 * `region` needs.
 *
 * @see {@link https://github.com/python-pillow/Pillow | Pillow} `src/libImaging/Resample.c`, 8 bits per channel.
 */
export function resample(image: RasterImage, target: Size, region: Box, filter: ResampleFilter): RasterImage {
  if (image.width === target.width && image.height === target.height) return cropImage(image, region);
  if (image.nearest) {
    return { ...image, width: region.width, height: region.height, pixels: takeNearest(image, target, region) };
  }
  const columns = tapsOf(image.width, target.width, region.left, region.width, filters[filter]);
  const rows = tapsOf(image.height, target.height, region.top, region.height, filters[filter]);
  return applyTaps(image, columns, rows);
}

/** Applies `columns` to each row, then `rows` to each column, with premultiplied alpha. */
export function applyTaps(image: RasterImage, columns: Taps, rows: Taps): RasterImage {
  const source = packedPixels(image.pixels);
  const width = columns.records.length / columns.stride;
  const height = rows.records.length / rows.stride;
  const lastRecord = rows.records.length - rows.stride;
  const firstRow = rows.records[0]!;
  const rowCount = rows.records[lastRecord]! + rows.records[lastRecord + 1]! - firstRow;

  // Memory layout: both taps, a band of the source, the transposed image between the passes, the result.
  const bandRows = Math.min(rowCount, Math.ceil(bandBytes / (4 * image.width)));
  const rowTaps = columns.records.byteLength;
  const band = rowTaps + rows.records.byteLength;
  const turned = band + 4 * bandRows * image.width;
  const result = turned + 4 * width * rowCount;
  const { memory, weighRows } = rowKernel(result + 4 * width * height);
  const words = new Int32Array(memory.buffer);
  words.set(columns.records);
  words.set(rows.records, rowTaps / 4);

  for (let row = 0; row < rowCount; row += bandRows) {
    const count = Math.min(bandRows, rowCount - row);
    const pixels = source.subarray((firstRow + row) * image.width, (firstRow + row + count) * image.width);
    words.set(image.hasAlpha ? pixels.map(premultiply) : pixels, band / 4);
    weighRows(band, 4 * image.width, count, 0, 4 * columns.stride, width, turned + 4 * row, 4 * rowCount);
  }
  const rowZero = turned - 4 * firstRow;
  weighRows(rowZero, 4 * rowCount, width, rowTaps, 4 * rows.stride, height, result, 4 * width);
  const resized = words.slice(result / 4, result / 4 + width * height);
  return { ...image, width, height, pixels: unpackedPixels(image.hasAlpha ? resized.map(unpremultiply) : resized) };
}

/** Taps of output positions `first` … `first + length − 1` for resizing `inputSize` pixels to `outputSize`. */
export function tapsOf(inputSize: number, outputSize: number, first: number, length: number, filter: Filter): Taps {
  const stride = Math.ceil(filter.reach * Math.max(1, inputSize / outputSize)) * 2 + 3;
  const records = new Int32Array(length * stride);
  for (let i = 0; i < length; i++) {
    const { low, weights } = weightsOf(inputSize, outputSize, first + i, filter);
    records[i * stride] = low;
    records[i * stride + 1] = weights.length;
    weights.forEach((weight, k) => {
      const fixed = weight * 2 ** precisionBits;
      records[i * stride + 2 + k] = Math.trunc(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
    });
  }
  return { records, stride };
}

/** Weights of one output position for resizing `inputSize` pixels to `outputSize`; the first input is `low`. */
function weightsOf(
  inputSize: number,
  outputSize: number,
  position: number,
  { reach, weight }: Filter,
): { low: number; weights: Float64Array } {
  const scale = inputSize / outputSize;
  const stretch = Math.max(1, scale); // widening the filter when shrinking is the antialiasing
  const support = reach * stretch;
  const center = (position + 0.5) * scale;
  const low = Math.max(0, Math.trunc(center - support + 0.5));
  const weights = new Float64Array(Math.min(inputSize, Math.trunc(center + support + 0.5)) - low);
  let sum = 0;
  for (let k = 0; k < weights.length; k++) sum += weights[k] = weight((low + k - center + 0.5) * (1 / stretch));
  return { low, weights: weights.map((value) => value / sum) };
}

/**
 * Resizes vectors on a square grid without rounding, like PyTorch's `interpolate` with `antialias`.
 *
 * @param values - [from, from, width]; returns [to, to, width].
 */
export function resampleGrid(
  values: Float32Array,
  width: number,
  from: number,
  to: number,
  filter: ResampleFilter,
): Float32Array {
  const taps = Array.from({ length: to }, (_, position) => weightsOf(from, to, position, filters[filter]));
  const resized = new Float32Array(to * to * width);
  for (const [y, rows] of taps.entries()) {
    for (const [x, columns] of taps.entries()) {
      const sums = new Float64Array(width);
      rows.weights.forEach((rowWeight, i) => {
        columns.weights.forEach((columnWeight, j) => {
          const start = ((rows.low + i) * from + columns.low + j) * width;
          for (let k = 0; k < width; k++) sums[k]! += rowWeight * columnWeight * values[start + k]!;
        });
      });
      resized.set(sums, (y * to + x) * width);
    }
  }
  return resized;
}

function takeNearest(image: RasterImage, target: Size, region: Box): Uint8Array {
  const source = packedPixels(image.pixels);
  const columns = nearestPositions(image.width, target.width, region.left, region.width);
  const rows = nearestPositions(image.height, target.height, region.top, region.height);
  const result = new Int32Array(region.width * region.height);
  let to = 0;
  for (const row of rows) for (const column of columns) result[to++] = source[row * image.width + column]!;
  return unpackedPixels(result);
}

/** Adds up steps instead of multiplying, as Pillow does, since the rounding errors decide ties. */
function nearestPositions(inputSize: number, outputSize: number, first: number, length: number): Int32Array {
  const positions = new Int32Array(length);
  const step = inputSize / outputSize;
  let position = step * 0.5;
  for (let i = 0; i < first; i++) position += step;
  for (let i = 0; i < length; i++, position += step) positions[i] = Math.min(inputSize - 1, Math.trunc(position));
  return positions;
}
