import { checkOptions, flag, type OptionKinds } from "../../core/options.ts";
import { concat, conv2d, Tensor, tensorKind } from "../../engine/graph/tensor.ts";
import {
  type Affine,
  type Attention,
  type Block,
  type BlockConfig,
  crossAttention,
  layerNorm,
  type Linear,
  mlp,
  type Mlp,
} from "../nn/layers.ts";
import { transformer } from "../nn/transformer.ts";
import type { ClipConfig, VitConfig } from "./config.ts";
import type { ImageTowerOutput } from "./image-tower.ts";
import {
  addDescriptors,
  type ConvStem,
  convStem,
  type PlacesPool,
  poolPlaces,
  type Readout,
} from "./pictogram-parts.ts";

/** Parameters of the ViT image tower; W = width, P = patchSize, E = embedDim. */
export interface VisionTransformer<Leaf = Tensor> {
  /** [W, 3, P, P], no bias; or with one, or the convolutional stem */
  readonly patchEmbedding: Leaf | Linear<Leaf> | ConvStem<Leaf>;
  /** [W]; where the features are read from it */
  readonly classEmbedding?: Leaf;
  /** [gridSize² + 1, W], the class token's first; without class token [gridSize², W] */
  readonly positionalEmbedding: Leaf;
  /** SigLIP's tower has none. */
  readonly lnPre?: Affine<Leaf>;
  readonly blocks: readonly Block<Leaf>[];
  readonly lnPost: Affine<Leaf>;
  /** [W, E]; or the layers that read all places */
  readonly projection: Leaf | PlacesPool<Leaf> | ProbePool<Leaf>;
  /** Adds to the features what the bundled model reads from oriented gradients and colours. */
  readonly descriptors?: Readout<Leaf>;
}

/** A learned query attends to all tokens; an MLP is added to what it finds (SigLIP's head, Zhai et al. 2022). */
export interface ProbePool<Leaf = Tensor> {
  /** [W] */
  readonly probe: Leaf;
  readonly attn: Attention<Leaf>;
  readonly ln: Affine<Leaf>;
  readonly mlp: Mlp<Leaf>;
}

/** The options of a Transformer tower. */
export interface TowerOptions {
  /** Whether the backward pass recomputes each block from its input, to save memory. Default false. */
  readonly checkpointBlocks?: boolean | undefined;
  /**
   * int32 [I, K]: the tokens that the image tower keeps, the class token among them, as indices into the tokens of all images
   * (Li et al. 2023, FLIP); default all.
   */
  readonly keptTokens?: Tensor | undefined;
  /** Whether all tokens are computed; default only those that the features are read from. */
  readonly allTokens?: boolean | undefined;
}

export const towerKinds: OptionKinds<TowerOptions> = {
  checkpointBlocks: flag,
  keptTokens: tensorKind,
  allTokens: flag,
};

/** pixelValues [I, 3, S, S] → imageFeatures [I, E], and the tensors before them. */
export function visionTransformer(
  p: VisionTransformer,
  { activation, layerNormEpsilon }: ClipConfig,
  config: VitConfig,
  pixelValues: Tensor,
  options: TowerOptions = {},
): ImageTowerOutput {
  checkOptions("visionTransformer", options, towerKinds);
  const { checkpointBlocks, keptTokens, allTokens = false } = options;
  const blockConfig = { heads: config.heads, activation, layerNormEpsilon };
  let x = embedPatches(p, config, pixelValues); // [I, L, W]
  if (keptTokens) x = x.reshape([-1, config.width]).gather(keptTokens); // [I, K, W]
  if (p.lnPre) x = layerNorm(p.lnPre, x, layerNormEpsilon).named("vision.lnPre");
  const last = readsClassToken(p) && !allTokens ? { read: classToken } : undefined;
  x = transformer(p.blocks, blockConfig, x, { name: "vision.blocks", checkpointBlocks, last });
  const features = pool(p, blockConfig, x);
  return p.descriptors ? addDescriptors(p.descriptors, pixelValues, features) : features;
}

/** [I, 3, S, S] → [I, L, W]: the class token, if there is one, and a token for each patch, with their positions added. */
function embedPatches(p: VisionTransformer, { patchSize }: VitConfig, pixelValues: Tensor): Tensor {
  const { patchEmbedding, classEmbedding, positionalEmbedding } = p;
  const patches = patchesOf(patchEmbedding, patchSize, pixelValues).named("vision.patches"); // [I, W, grid, grid]
  const [images, width, grid] = patches.shape as readonly [number, number, number];
  const tokens = patches.reshape([images, width, grid * grid]).transpose([0, 2, 1]); // [I, grid², W]
  const all = classEmbedding ? concat([classEmbedding.expand([images, 1, width]), tokens], 1) : tokens;
  return all.add(positionalEmbedding).named("vision.embeddings");
}

/** [I, 3, S, S] → [I, W, grid, grid] */
function patchesOf(p: VisionTransformer["patchEmbedding"], patchSize: number, pixelValues: Tensor): Tensor {
  if (p instanceof Tensor) return conv2d(pixelValues, p, { stride: patchSize });
  if ("edges" in p) return convStem(p, patchSize, pixelValues);
  return conv2d(pixelValues, p.weight, { stride: patchSize }).add(p.bias.reshape([1, -1, 1, 1]));
}

/** [I, L, W] → [I, 1, W] */
const classToken = (tokens: Tensor) => tokens.slice(1, 0, 1);

/** Whether the features are read from the class token alone. */
const readsClassToken = ({ projection }: VisionTransformer) => projection instanceof Tensor;

/** The last layer norm, and the features, from the last block's tokens [I, L, W]. */
function pool({ projection, lnPost }: VisionTransformer, config: BlockConfig, x: Tensor): ImageTowerOutput {
  const norm = (tokens: Tensor) => layerNorm(lnPost, tokens, config.layerNormEpsilon).named("vision.lnPost");
  const tokens = norm(x);
  if (projection instanceof Tensor) {
    const pooled = norm(x.select(1, 0));
    return { imageFeatures: pooled.matmul(projection), pooled, tokens };
  }
  if (!("probe" in projection)) return { ...poolPlaces(projection, tokens), tokens };
  const pooled = poolByProbe(projection, config, tokens);
  return { imageFeatures: pooled, pooled, tokens };
}

/** [I, L, W] → [I, W] */
function poolByProbe(p: ProbePool, { heads, activation, layerNormEpsilon }: BlockConfig, x: Tensor): Tensor {
  const found = crossAttention(p.attn, heads, p.probe.reshape([1, 1, -1]), x)
    .select(1, 0)
    .named("vision.probe");
  return found.add(mlp(p.mlp, activation, layerNorm(p.ln, found, layerNormEpsilon)));
}
