import { checkpoint } from "../autodiff/gradients.ts";
import { averagePool, concat, conv2d, Tensor } from "../graph/tensor.ts";
import { type Affine, type Block, block, layerNorm, type Linear, linear } from "../nn/layers.ts";
import { groupNorm } from "../nn/norms.ts";
import type { ClipConfig, VitConfig } from "./config.ts";

/** Parameters of the ViT image tower; W = width, P = patchSize, E = embedDim. */
export interface VisionTransformer<Leaf = Tensor> {
  /** [W, 3, P, P], no bias; or the convolutional stem */
  readonly patchEmbedding: Leaf | ConvStem<Leaf>;
  /** [W]; where the features are read from it */
  readonly classEmbedding?: Leaf;
  /** [gridSize² + 1, W], the class token's first; without class token [gridSize², W] */
  readonly positionalEmbedding: Leaf;
  readonly lnPre: Affine<Leaf>;
  readonly blocks: readonly Block<Leaf>[];
  readonly lnPost: Affine<Leaf>;
  /** [W, E]; or the layers that read all places */
  readonly projection: Leaf | PlacesPool<Leaf>;
}

/** Overlapping convolutions in place of patches; C = stemChannels. */
export interface ConvStem<Leaf = Tensor> {
  /** [C, 3, 3, 3] */
  readonly edges: Leaf;
  /** [C] */
  readonly edgesBias: Leaf;
  readonly norm: Affine<Leaf>;
  /** [W, C, 4, 4] */
  readonly patches: Leaf;
}

/** Each place's token to a few numbers, all of them through one hidden layer. */
export interface PlacesPool<Leaf = Tensor> {
  /** To [placeWidth] */
  readonly place: Linear<Leaf>;
  readonly hidden: Linear<Leaf>;
  readonly norm: Affine<Leaf>;
  /** To [E] */
  readonly out: Linear<Leaf>;
}

/** How a tower is computed, beside its architecture. */
export interface TowerOptions {
  /** Gradients keep only the input of each block and compute the inside again. */
  readonly checkpointBlocks?: boolean;
}

/** Pixels [I, 3, S, S] to imageFeatures [I, E]. */
export function visionTransformer(
  p: VisionTransformer,
  { activation }: ClipConfig,
  config: VitConfig,
  pixelValues: Tensor,
  { checkpointBlocks = false }: TowerOptions = {},
): Tensor {
  const { heads } = config;
  const patches = embedPatches(p.patchEmbedding, config, pixelValues).named("vision.patches"); // [I, W, grid, grid]
  const [images, width, grid] = patches.shape as readonly [number, number, number];
  let x = patches.reshape([images, width, grid * grid]).transpose([0, 2, 1]); // [I, grid², W]
  if (p.classEmbedding) x = concat([p.classEmbedding.expand([images, 1, width]), x], 1); // [I, grid² + 1, W]

  x = layerNorm(p.lnPre, x.add(p.positionalEmbedding)).named("vision.lnPre");
  p.blocks.forEach((layer, i) => {
    const compute = (input: Tensor) => block(layer, { heads, activation }, input);
    x = (checkpointBlocks ? checkpoint(compute, x) : compute(x)).named(`vision.blocks.${i}`);
  });
  if (!(p.projection instanceof Tensor)) return poolPlaces(p.projection, layerNorm(p.lnPost, x));
  return layerNorm(p.lnPost, x.select(1, 0)).named("vision.lnPost").matmul(p.projection);
}

/** [I, 3, S, S] → [I, W, grid, grid] */
function embedPatches(p: Tensor | ConvStem, { patchSize }: VitConfig, pixelValues: Tensor): Tensor {
  if (p instanceof Tensor) return conv2d(pixelValues, p, { stride: patchSize });
  const edges = conv2d(pixelValues, p.edges, { stride: 2, padding: 1 }).add(p.edgesBias.reshape([1, -1, 1, 1]));
  const pooled = averagePool(edges.relu(), patchSize / 4); // [I, C, 2 grid, 2 grid]
  return conv2d(groupNorm(p.norm, 1, pooled), p.patches, { stride: 2, padding: 1 });
}

/** [I, L, W] → [I, E] */
function poolPlaces(p: PlacesPool, x: Tensor): Tensor {
  const places = linear(p.place, x);
  const hidden = linear(p.hidden, places.reshape([x.shape[0]!, -1]));
  return linear(p.out, layerNorm(p.norm, hidden).relu());
}
