import { averagePool, concat, conv2d, type Tensor } from "../../engine/graph/tensor.ts";
import { type NormParameters, layerNorm, type Linear, linear } from "../nn/layers.ts";
import { groupNorm } from "../nn/norms.ts";
import { normSpec, fanInSpec, linearSpec, type ParameterSpec, spec } from "../nn/parameters.ts";
import { descriptorCount, descriptors } from "./descriptors.ts";
import type { ImageTowerOutput } from "./image-tower.ts";

// Parts of the bundled model's image tower, chosen because they learn from a few thousand drawings.

/** Overlapping convolutions in place of patches (Xiao et al. 2021); C = `stemChannels`. */
export interface ConvStem<Leaf = Tensor> {
  /** [C, 3, 3, 3] */
  readonly edges: Leaf;
  /** [C] */
  readonly edgesBias: Leaf;
  readonly norm: NormParameters<Leaf>;
  /** [W, C, 4, 4] */
  readonly patches: Leaf;
}

/** A head with one hidden layer, [4 W]. */
export interface Readout<Leaf = Tensor> {
  readonly hidden: Linear<Leaf>;
  readonly norm: NormParameters<Leaf>;
  /** To [E] */
  readonly out: Linear<Leaf>;
}

/** Reduces each token to `placeWidth` values and feeds all of them to one hidden layer. */
export interface PlacesPool<Leaf = Tensor> extends Readout<Leaf> {
  readonly place: Linear<Leaf>;
}

const stemChannels = 24;
const placeWidth = 48;

/** [I, 3, S, S] → [I, W, grid, grid] */
export function convStem(p: ConvStem, patchSize: number, pixelValues: Tensor): Tensor {
  const edges = conv2d(pixelValues, p.edges, { stride: 2, padding: 1 }).add(p.edgesBias.reshape([1, -1, 1, 1]));
  const pooled = averagePool(edges.relu(), patchSize / 4); // [I, C, 2 grid, 2 grid]
  return conv2d(groupNorm(p.norm, 1, pooled), p.patches, { stride: 2, padding: 1 });
}

/** Tokens [I, L, W] → features [I, E], and their hidden layer [I, 4 W]. */
export function poolPlaces(p: PlacesPool, tokens: Tensor): { imageFeatures: Tensor; pooled: Tensor } {
  return readOut(p, linear(p.place, tokens).reshape([tokens.shape[0]!, -1]));
}

/** [I, D] → features [I, E], and their hidden layer [I, 4 W]. */
function readOut(p: Readout, x: Tensor): { imageFeatures: Tensor; pooled: Tensor } {
  const pooled = layerNorm(p.norm, linear(p.hidden, x)).relu();
  return { imageFeatures: linear(p.out, pooled), pooled };
}

/** Adds features from the image's {@link descriptors} to a tower's. */
export function addDescriptors(p: Readout, pixelValues: Tensor, features: ImageTowerOutput): ImageTowerOutput {
  const described = readOut(p, descriptors(pixelValues));
  return {
    imageFeatures: features.imageFeatures.add(described.imageFeatures),
    pooled: concat([features.pooled, described.pooled], 1),
    tokens: features.tokens,
  };
}

export function convStemSpec(width: number): ConvStem<ParameterSpec> {
  return {
    edges: spec([stemChannels, 3, 3, 3], { values: edgeKernels() }),
    edgesBias: spec([stemChannels], { constant: 0 }),
    norm: normSpec(stemChannels),
    patches: fanInSpec([width, stemChannels, 4, 4]),
  };
}

export function placesPoolSpec(width: number, places: number, embedDim: number): PlacesPool<ParameterSpec> {
  return { place: linearSpec(placeWidth, width), ...readoutSpec(width, placeWidth * places, embedDim) };
}

export function descriptorsSpec(width: number, embedDim: number): Readout<ParameterSpec> {
  return readoutSpec(width, descriptorCount, embedDim);
}

function readoutSpec(width: number, input: number, embedDim: number): Readout<ParameterSpec> {
  const hidden = 4 * width;
  return { hidden: linearSpec(hidden, input), norm: normSpec(hidden), out: linearSpec(embedDim, hidden) };
}

/**
 * Sobel filters in 18 directions, then the mean of each colour and its negative: close to what a first layer learns.
 * [stemChannels, 3, 3, 3]
 */
function edgeKernels(): Float32Array {
  const kernels = new Float32Array(stemChannels * 27);
  const lightness = [0.299, 0.587, 0.114];
  const directions = stemChannels - 6;
  for (let kernel = 0; kernel < stemChannels; kernel++) {
    const angle = (2 * Math.PI * kernel) / directions;
    const own = kernel - directions;
    for (let i = 0; i < 27; i++) {
      const [colour, y, x] = [Math.floor(i / 9), (Math.floor(i / 3) % 3) - 1, (i % 3) - 1];
      // Rotated Sobel operator
      const slope = (Math.cos(angle) * x * (2 - Math.abs(y)) + Math.sin(angle) * y * (2 - Math.abs(x))) / 4;
      const mean = own % 3 === colour ? (own < 3 ? 1 : -1) / 9 : 0;
      kernels[kernel * 27 + i] = own < 0 ? 2 * slope * lightness[colour]! : mean;
    }
  }
  return kernels;
}
