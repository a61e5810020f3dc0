import { checkpoint } from "../../engine/autodiff/gradients.ts";
import { averagePool, concat, conv2d, Tensor } from "../../engine/graph/tensor.ts";
import {
  type Affine,
  type Attention,
  type Block,
  block,
  type BlockConfig,
  crossAttention,
  layerNorm,
  type Linear,
  linear,
  mlp,
  type Mlp,
} from "../nn/layers.ts";
import { groupNorm } from "../nn/norms.ts";
import type { ClipConfig, VitConfig } from "./config.ts";
import { descriptors } from "./descriptors.ts";

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
  /** Adds what the image's {@link descriptors} tell to the features. */
  readonly descriptors?: Readout<Leaf>;
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

/** Many numbers to features through one hidden layer of 4 W. */
export interface Readout<Leaf = Tensor> {
  readonly hidden: Linear<Leaf>;
  readonly norm: Affine<Leaf>;
  /** To [E] */
  readonly out: Linear<Leaf>;
}

/** Each place's token to a few numbers, all of them through one hidden layer. */
export interface PlacesPool<Leaf = Tensor> extends Readout<Leaf> {
  /** To [placeWidth] */
  readonly place: Linear<Leaf>;
}

/** A learned query attends to all tokens; an MLP is added to what it finds (SigLIP's head, Zhai et al. 2022). */
export interface ProbePool<Leaf = Tensor> {
  /** [W] */
  readonly probe: Leaf;
  readonly attn: Attention<Leaf>;
  readonly ln: Affine<Leaf>;
  readonly mlp: Mlp<Leaf>;
}

/** How a tower is computed, beside its architecture. */
export interface TowerOptions {
  /** Gradients keep only the input of each block and compute the inside again. */
  readonly checkpointBlocks?: boolean;
  /**
   * int32 [I, K]: the tokens that the image tower's blocks see, as rows of all images' tokens one image after the other,
   * the class token among them (Li et al. 2023, FLIP); default all.
   */
  readonly keptTokens?: Tensor;
  /** Whether all tokens are computed to the end, for who reads them too; default only what the features are read from. */
  readonly allTokens?: boolean;
}

/** What an image tower ends with. */
export interface ImageTowerOutput {
  /** [I, E], not yet of unit length. */
  readonly imageFeatures: Tensor;
  /** [I, ·]: what the last linear layer makes the features of; the features themselves where there is none behind the pool. */
  readonly pooled: Tensor;
  /** [I, K, W] or a ResNet's channels: the tokens behind the last norm, as far as they were computed. */
  readonly tokens: Tensor;
}

/** What the features are, without the tokens. */
type Features = Omit<ImageTowerOutput, "tokens">;

/** Pixels [I, 3, S, S] to features, and what they are read from. */
export function visionTransformer(
  p: VisionTransformer,
  { activation, layerNormEpsilon }: ClipConfig,
  config: VitConfig,
  pixelValues: Tensor,
  { checkpointBlocks = false, keptTokens, allTokens = false }: TowerOptions = {},
): ImageTowerOutput {
  const blockConfig = { heads: config.heads, activation, layerNormEpsilon };
  const patches = embedPatches(p.patchEmbedding, config, pixelValues).named("vision.patches"); // [I, W, grid, grid]
  const [images, width, grid] = patches.shape as readonly [number, number, number];
  let x = patches.reshape([images, width, grid * grid]).transpose([0, 2, 1]); // [I, grid², W]
  if (p.classEmbedding) x = concat([p.classEmbedding.expand([images, 1, width]), x], 1); // [I, grid² + 1, W]

  x = x.add(p.positionalEmbedding).named("vision.embeddings");
  if (keptTokens) x = x.reshape([-1, width]).gather(keptTokens); // [I, K, W]
  if (p.lnPre) x = layerNorm(p.lnPre, x, layerNormEpsilon).named("vision.lnPre");
  const readsOne = p.projection instanceof Tensor && !allTokens;
  p.blocks.forEach((layer, i) => {
    // Of the last block's output the class token alone is used, where the features are read from it.
    const read = readsOne && i === p.blocks.length - 1 ? classToken : undefined;
    const compute = (input: Tensor) => block(layer, blockConfig, input, { read });
    x = (checkpointBlocks ? checkpoint(compute, x) : compute(x)).named(`vision.blocks.${i}`);
  });
  const own = pool(p, blockConfig, x);
  if (!p.descriptors) return own;
  const drawn = readOut(p.descriptors, descriptors(pixelValues));
  return {
    imageFeatures: own.imageFeatures.add(drawn.imageFeatures),
    pooled: concat([own.pooled, drawn.pooled], 1),
    tokens: own.tokens,
  };
}

/** [I, 3, S, S] → [I, W, grid, grid] */
function embedPatches(p: Tensor | Linear | ConvStem, { patchSize }: VitConfig, pixelValues: Tensor): Tensor {
  if (p instanceof Tensor) return conv2d(pixelValues, p, { stride: patchSize });
  if ("weight" in p) return conv2d(pixelValues, p.weight, { stride: patchSize }).add(p.bias.reshape([1, -1, 1, 1]));
  const edges = conv2d(pixelValues, p.edges, { stride: 2, padding: 1 }).add(p.edgesBias.reshape([1, -1, 1, 1]));
  const pooled = averagePool(edges.relu(), patchSize / 4); // [I, C, 2 grid, 2 grid]
  return conv2d(groupNorm(p.norm, 1, pooled), p.patches, { stride: 2, padding: 1 });
}

/** [I, L, W] → [I, 1, W] */
const classToken = (tokens: Tensor) => tokens.slice(1, 0, 1);

/** The last layer norm, and features from what the tower is read from, the tokens [I, L, W]. */
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

function poolPlaces(p: PlacesPool, x: Tensor): Features {
  return readOut(p, linear(p.place, x).reshape([x.shape[0]!, -1]));
}

/** [I, L, W] → [I, W] */
function poolByProbe(p: ProbePool, { heads, activation, layerNormEpsilon }: BlockConfig, x: Tensor): Tensor {
  const found = crossAttention(p.attn, heads, p.probe.reshape([1, 1, -1]), x)
    .select(1, 0)
    .named("vision.probe");
  return found.add(mlp(p.mlp, activation, layerNorm(p.ln, found, layerNormEpsilon)));
}

/** Of many numbers, [I, D]. */
function readOut(p: Readout, x: Tensor): Features {
  const pooled = layerNorm(p.norm, linear(p.hidden, x)).relu(); // [I, 4 W]
  return { imageFeatures: linear(p.out, pooled), pooled };
}
