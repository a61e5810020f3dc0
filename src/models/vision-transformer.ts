import { checkpoint } from "../autodiff/gradients.ts";
import { concat, conv2d, type Tensor } from "../graph/tensor.ts";
import { type Affine, type Block, block, layerNorm } from "../nn/layers.ts";
import type { ClipConfig, VitConfig } from "./config.ts";

/** Parameters of the ViT image tower; W = width, P = patchSize. */
export interface VisionTransformer<Leaf = Tensor> {
  /** [W, 3, P, P], no bias */
  readonly patchEmbedding: Leaf;
  /** [W] */
  readonly classEmbedding: Leaf;
  /** [gridSize² + 1, W], the class token's first */
  readonly positionalEmbedding: Leaf;
  readonly lnPre: Affine<Leaf>;
  readonly blocks: readonly Block<Leaf>[];
  readonly lnPost: Affine<Leaf>;
  /** [W, E] */
  readonly projection: Leaf;
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
  { patchSize, heads }: VitConfig,
  pixelValues: Tensor,
  { checkpointBlocks = false }: TowerOptions = {},
): Tensor {
  const patches = conv2d(pixelValues, p.patchEmbedding, { stride: patchSize }).named("vision.patches"); // [I, W, grid, grid]
  const [images, width, grid] = patches.shape as readonly [number, number, number];
  const tokens = patches.reshape([images, width, grid * grid]).transpose([0, 2, 1]); // [I, grid², W]
  const classToken = p.classEmbedding.expand([images, 1, width]);

  let x = concat([classToken, tokens], 1).add(p.positionalEmbedding); // [I, grid² + 1, W]
  x = layerNorm(p.lnPre, x).named("vision.lnPre");
  p.blocks.forEach((layer, i) => {
    const compute = (input: Tensor) => block(layer, { heads, activation }, input);
    x = (checkpointBlocks ? checkpoint(compute, x) : compute(x)).named(`vision.blocks.${i}`);
  });
  return layerNorm(p.lnPost, x.select(1, 0)).named("vision.lnPost").matmul(p.projection);
}
