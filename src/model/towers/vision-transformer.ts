import { concat, conv2d, Tensor } from "../../engine/graph/tensor.ts";
import {
  type NormParameters,
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
  /** [W, 3, P, P], with a bias in SigLIP's tower; or a convolutional stem */
  readonly patchEmbedding: Leaf | Linear<Leaf> | ConvStem<Leaf>;
  /** [W], if the features are read from the class token */
  readonly classEmbedding?: Leaf;
  /** [gridSize² + 1, W], the class token's first; [gridSize², W] without class token */
  readonly positionalEmbedding: Leaf;
  /** SigLIP's tower has none. */
  readonly lnPre?: NormParameters<Leaf>;
  readonly blocks: readonly Block<Leaf>[];
  readonly lnPost: NormParameters<Leaf>;
  /** [W, E] for the class token, or layers that read all tokens */
  readonly projection: Leaf | PlacesPool<Leaf> | ProbePool<Leaf>;
  /** Adds features from fixed descriptors; bundled model only. */
  readonly descriptors?: Readout<Leaf>;
}

/** A learned query attends to all tokens, followed by a residual MLP (SigLIP's head, Zhai et al. 2022). */
export interface ProbePool<Leaf = Tensor> {
  /** [W] */
  readonly probe: Leaf;
  readonly attn: Attention<Leaf>;
  readonly ln: NormParameters<Leaf>;
  readonly mlp: Mlp<Leaf>;
}

export interface TowerOptions {
  /** The backward pass keeps only each block's input and recomputes the rest. */
  readonly checkpointBlocks?: boolean;
  /**
   * int32 [I, K]: the image tower's tokens to keep, class token included (FLIP, Li et al. 2023); default all. Indices are
   * rows of [I · L, W], all images' tokens in order.
   */
  readonly keptTokens?: Tensor;
  /** Compute all tokens in the last block, and not only those that the features are read from. */
  readonly allTokens?: boolean;
}

/** pixelValues [I, 3, S, S] through the tower. */
export function visionTransformer(
  p: VisionTransformer,
  { activation, layerNormEpsilon }: ClipConfig,
  config: VitConfig,
  pixelValues: Tensor,
  { checkpointBlocks, keptTokens, allTokens = false }: TowerOptions = {},
): ImageTowerOutput {
  const blockConfig = { heads: config.heads, activation, layerNormEpsilon };
  let x = embedPatches(p, config, pixelValues); // [I, L, W]
  if (keptTokens) x = x.reshape([-1, config.width]).gather(keptTokens); // [I, K, W]
  if (p.lnPre) x = layerNorm(p.lnPre, x, layerNormEpsilon).named("vision.lnPre");
  const last = readsClassToken(p) && !allTokens ? { read: classToken } : undefined;
  x = transformer(p.blocks, blockConfig, x, { name: "vision.blocks", checkpointBlocks, last });
  const features = pool(p, blockConfig, x);
  return p.descriptors ? addDescriptors(p.descriptors, pixelValues, features) : features;
}

/** [I, 3, S, S] → [I, L, W]: the class token, if any, and one token per patch, plus their positional embeddings. */
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

const readsClassToken = ({ projection }: VisionTransformer) => projection instanceof Tensor;

/** Final layer norm and pooling of the last block's tokens, [I, L, W]. */
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
