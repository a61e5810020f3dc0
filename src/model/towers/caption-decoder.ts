import { float32 } from "../../core/tensor-data.ts";
import { concat, constant, type Tensor } from "../../engine/graph/tensor.ts";
import { type Affine, type Block, layerNorm, type Linear, linear } from "../nn/layers.ts";
import { transformer } from "../nn/transformer.ts";
import type { ClipConfig } from "./config.ts";
import type { TowerOptions } from "./vision-transformer.ts";

/** Parameters of the caption decoder; W = the text tower's width, Q = tokens that it writes. */
export interface CaptionDecoder<Leaf = Tensor> {
  /** To [W] from the image tower's tokens */
  readonly imageProjection: Linear<Leaf>;
  /** To [W] from the text tower's */
  readonly textProjection: Linear<Leaf>;
  /** [Q, W], one for each place of the caption */
  readonly queries: Leaf;
  readonly blocks: readonly Block<Leaf>[];
  readonly lnFinal: Affine<Leaf>;
  /** [vocabSize, W] */
  readonly head: Leaf;
}

/** What the two towers end with, of N pairs: see `allTokens` of {@link TowerOptions}. */
export interface TowerTokens {
  /** [N, K, ·] */
  readonly imageTokens: Tensor;
  /** [N, L, W] */
  readonly textTokens: Tensor;
}

/**
 * What stands at each place of a long caption, as logits [N, Q, vocabSize], from an image and its short caption (CLIPS, Liu
 * et al. 2024). Learned queries take the place of words: all are written at once, in blocks of the text tower's shape.
 */
export function decodeCaptions(
  p: CaptionDecoder,
  { text, activation, layerNormEpsilon }: ClipConfig,
  { imageTokens, textTokens }: TowerTokens,
  { checkpointBlocks }: Pick<TowerOptions, "checkpointBlocks"> = {},
): Tensor {
  const config = { heads: text.heads, activation: text.activation ?? activation, layerNormEpsilon };
  const prefix = concat([linear(p.imageProjection, imageTokens), linear(p.textProjection, textTokens)], 1); // [N, P, W]
  const [pairs, prefixLength, width] = prefix.shape as readonly [number, number, number];
  const queries = p.queries.shape[0] as number;

  const mask = prefixMask(prefixLength, queries);
  // Of the last block's output the queries alone are used.
  const last = {
    mask: mask.slice(0, prefixLength, queries),
    read: (tokens: Tensor) => tokens.slice(1, prefixLength, queries),
  };
  let x = concat([prefix, p.queries.expand([pairs, queries, width])], 1); // [N, P + Q, W]
  x = transformer(p.blocks, config, x, { name: "decoder.blocks", mask, checkpointBlocks, last });
  const places = layerNorm(p.lnFinal, x, layerNormEpsilon).reshape([-1, width]);
  return places.matmul(p.head.T).reshape([pairs, queries, p.head.shape[0]!]);
}

/** [P + Q, P + Q]: −∞ where a token of the prefix would see a query, or a query a later one. */
function prefixMask(prefixLength: number, queries: number): Tensor {
  const length = prefixLength + queries;
  const mask = new Float32Array(length * length);
  for (let row = 0; row < length; row++) {
    mask.fill(-Infinity, row * length + Math.max(prefixLength, row + 1), (row + 1) * length);
  }
  return constant(float32(mask, [length, length]));
}

/** Whether a parameter is one of the decoder. */
export function isOfDecoder(path: string): boolean {
  return path.startsWith("decoder.");
}
