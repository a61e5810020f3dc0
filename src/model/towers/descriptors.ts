import { float32 } from "../../core/tensor-data.ts";
import { averagePool, concat, constant, conv2d, type Tensor } from "../../engine/graph/tensor.ts";

/** Side of the finest grid, in cells. */
const finest = 16;
const directions = 9;
const colourCentres = [-1, -1 / 3, 1 / 3, 1];

/**
 * Mean and standard deviation of each part over augmented pictograms, rounded. Standardized parts have equal weight from the
 * first step. `gradients` has one row per grid, finest first.
 */
const statistics = {
  gradients: [
    [0.07, 0.14],
    [0.1, 0.12],
    [0.12, 0.1],
    [0.14, 0.07],
    [0.15, 0.05],
  ],
  colours: [0.28, 0.57],
  shares: [0.05, 0.11],
} as const;

/** Length of an image's {@link descriptors}. */
export const descriptorCount =
  [finest, 8, 4, 2, 1].reduce((sum, grid) => sum + directions * grid ** 2, 0) +
  3 * finest ** 2 +
  colourCentres.length ** 3 * (4 ** 2 + 1);

/**
 * Fixed image descriptors, [I, 3, S, S] → [I, {@link descriptorCount}], for pixels in [−1, 1] and S a multiple of 16:
 * - histograms of oriented gradients in 9 directions (Dalal and Triggs 2005), over grids of 16², 8², 4², 2² and 1 cells (a
 *   spatial pyramid, Lazebnik et al. 2006);
 * - the mean colour of 16² cells;
 * - histograms of 64 colours over 4² cells and the whole image.
 *
 * Square roots keep large values from outweighing the rest.
 */
export function descriptors(pixelValues: Tensor): Tensor {
  const cell = (pixelValues.shape[2] as number) / finest;
  const edges = averagePool(orientedGradients(pixelValues), cell); // [I, 9, 16, 16]
  const colours = averagePool(pixelValues, cell); // [I, 3, 16, 16]
  const shares = averagePool(colourShares(colours), 4); // [I, 64, 4, 4]
  const standard = (x: Tensor, [mean, deviation]: readonly [number, number]) =>
    x.reshape([x.shape[0]!, -1]).sub(mean).div(deviation);
  // The offset keeps the root's gradient finite at 0.
  const root = (x: Tensor) => x.add(1e-4).sqrt();
  const pyramid = statistics.gradients.map((of, level) => standard(root(averagePool(edges, 2 ** level)), of));
  const occurrences = [shares, averagePool(shares, 4)].map((part) => standard(root(part), statistics.shares));
  return concat([...pyramid, standard(colours, statistics.colours), ...occurrences], 1);
}

/**
 * Lightness gradient at each pixel, spread over 9 directions: [I, 9, S, S]. Opposite gradients count as the same direction.
 * At angle φ from a direction its share is max(0, (cos² φ − cos² 20°) / (1 − cos² 20°)).
 */
function orientedGradients(pixelValues: Tensor): Tensor {
  // Border pixels lack neighbours, so their gradient is 0.
  const slopes = conv2d(pixelValues, constant(slopeKernels())).pad([0, 0, 1, 1], [0, 0, 1, 1]); // [I, 2, S, S]
  const [x, y] = [slopes.slice(1, 0, 1), slopes.slice(1, 1, 1)];
  const length = x.square().add(y.square()).add(1e-6).sqrt();
  // |g| cos² φ is linear in these three, so one convolution gives all directions.
  const products = concat([x.square(), x.mul(y), y.square()], 1).div(length);
  return conv2d(products, constant(directionKernels())).relu();
}

/** Soft assignment of each cell to 4 × 4 × 4 colours, linear between neighbouring ones. [I, 64, 16, 16] */
function colourShares(colours: Tensor): Tensor {
  const [images, , height, width] = colours.shape as readonly [number, number, number, number];
  const n = colourCentres.length;
  const centres = constant(float32(Float32Array.from(colourCentres), [1, n, 1, 1]));
  const spacing = 2 / (n - 1);
  const [red, green, blue] = [0, 1, 2].map((channel) => {
    const distance = colours.slice(1, channel, 1).sub(centres).leakyRelu(-1); // slope −1: the absolute value
    return distance
      .mul(-1 / spacing)
      .add(1)
      .relu(); // [I, 4, 16, 16]
  });
  const both = (x: Tensor, y: Tensor) =>
    x
      .reshape([images, -1, 1, height, width])
      .mul(y.reshape([images, 1, n, height, width]))
      .reshape([images, -1, height, width]);
  return both(both(red!, green!), blue!);
}

/** Central differences of the lightness, in x and y. [2, 3, 3, 3] */
function slopeKernels() {
  const lightness = [0.299, 0.587, 0.114];
  const kernels = new Float32Array(2 * 3 * 9);
  lightness.forEach((share, channel) => {
    kernels.set([0, 0, 0, -share, 0, share, 0, 0, 0], channel * 9);
    kernels.set([0, -share, 0, 0, 0, 0, 0, share, 0], (3 + channel) * 9);
  });
  return float32(kernels, [2, 3, 3, 3]);
}

/** Coefficients of x², x·y and y² in each direction's share of a gradient. [9, 3, 1, 1] */
function directionKernels() {
  const width = Math.PI / directions;
  const kernels = Array.from({ length: directions }, (_, k) => {
    const [cos, sin, least] = [Math.cos(k * width), Math.sin(k * width), Math.cos(width) ** 2];
    return [cos ** 2 - least, 2 * cos * sin, sin ** 2 - least].map((value) => value / (1 - least));
  });
  return float32(Float32Array.from(kernels.flat()), [directions, 3, 1, 1]);
}
