import { float32 } from "../../core/tensor-data.ts";
import { averagePool, concat, constant, conv2d, type Tensor } from "../../engine/graph/tensor.ts";

/** Cells per side of the finest grid. */
const finest = 16;
const directions = 9;
const colourCentres = [-1, -1 / 3, 1 / 3, 1];

/**
 * Mean and deviation that each part has over augmented pictograms, rounded: brought to 0 and 1 by them all parts count
 * alike and are learned from at once. The gradients' are by grid, finest first.
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

/** How many numbers {@link descriptors} gives. */
export const descriptorCount =
  [finest, 8, 4, 2, 1].reduce((sum, grid) => sum + directions * grid ** 2, 0) +
  3 * finest ** 2 +
  colourCentres.length ** 3 * (4 ** 2 + 1);

/**
 * What an image is like before anything is learned, [I, 3, S, S] → [I, {@link descriptorCount}], for pixels from −1 to 1
 * and S a multiple of 16: how strong its edges are in each of 9 directions (histograms of oriented gradients, Dalal and
 * Triggs 2005) in grids of 16², 8², 4², 2² and 1 cells (a spatial pyramid, Lazebnik et al. 2006), the colours of 16² cells,
 * and how often each of 64 colours occurs in 4² cells and in all. Roots keep the largest from outweighing the rest.
 */
export function descriptors(pixelValues: Tensor): Tensor {
  const cell = (pixelValues.shape[2] as number) / finest;
  const edges = averagePool(orientedGradients(pixelValues), cell); // [I, 9, 16, 16]
  const colours = averagePool(pixelValues, cell); // [I, 3, 16, 16]
  const shares = averagePool(colourShares(colours), 4); // [I, 64, 4, 4]
  const standard = (x: Tensor, [mean, deviation]: readonly [number, number]) =>
    x.reshape([x.shape[0]!, -1]).sub(mean).div(deviation);
  // The root's slope stays finite where there is nothing.
  const root = (x: Tensor) => x.add(1e-4).sqrt();
  const pyramid = statistics.gradients.map((of, level) => standard(root(averagePool(edges, 2 ** level)), of));
  const occurrences = [shares, averagePool(shares, 4)].map((part) => standard(root(part), statistics.shares));
  return concat([...pyramid, standard(colours, statistics.colours), ...occurrences], 1);
}

/**
 * The slope of the lightness at each pixel, in full to the direction it has and less to those beside: [I, 9, S, S]. An edge
 * and its negative are alike. At angle φ from a direction the share is (cos² φ − cos² 20°) / (1 − cos² 20°), where that is
 * positive.
 */
function orientedGradients(pixelValues: Tensor): Tensor {
  // Pixels at the border have no slope: neighbours are missing.
  const slopes = conv2d(pixelValues, constant(slopeKernels())).pad([0, 0, 1, 1], [0, 0, 1, 1]); // [I, 2, S, S]
  const [x, y] = [slopes.slice(1, 0, 1), slopes.slice(1, 1, 1)];
  const length = x.square().add(y.square()).add(1e-6).sqrt();
  // |g| cos² φ is linear in these three, so one convolution gives all directions.
  const products = concat([x.square(), x.mul(y), y.square()], 1).div(length);
  return conv2d(products, constant(directionKernels())).relu();
}

/** To how much each cell is of each of 4 × 4 × 4 colours; a colour between two is shared among them. [I, 64, 16, 16] */
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

/** Differences of the neighbours' lightness, across and down. [2, 3, 3, 3] */
function slopeKernels() {
  const lightness = [0.299, 0.587, 0.114];
  const kernels = new Float32Array(2 * 3 * 9);
  lightness.forEach((share, channel) => {
    kernels.set([0, 0, 0, -share, 0, share, 0, 0, 0], channel * 9);
    kernels.set([0, -share, 0, 0, 0, 0, 0, share, 0], (3 + channel) * 9);
  });
  return float32(kernels, [2, 3, 3, 3]);
}

/** Each direction's share of a slope as a form in x², x·y and y². [9, 3, 1, 1] */
function directionKernels() {
  const width = Math.PI / directions;
  const kernels = Array.from({ length: directions }, (_, k) => {
    const [cos, sin, least] = [Math.cos(k * width), Math.sin(k * width), Math.cos(width) ** 2];
    return [cos ** 2 - least, 2 * cos * sin, sin ** 2 - least].map((value) => value / (1 - least));
  });
  return float32(Float32Array.from(kernels.flat()), [directions, 3, 1, 1]);
}
