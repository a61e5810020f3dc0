import { float32 } from "../../core/tensor-data.ts";
import { concat, constant, type Tensor } from "../../engine/graph/tensor.ts";
import { type NormParameters, type Block, layerNorm, type Linear, linear } from "../nn/layers.ts";
import { transformer } from "../nn/transformer.ts";
import type { ClipConfig } from "./config.ts";
import type { TowerOptions } from "./vision-transformer.ts";

/** Parameters of the caption decoder; W = the text tower's width, Q = number of tokens that it writes. */
export interface CaptionDecoder<Leaf = Tensor> {
  /** From the image tower's tokens to [W] */
  readonly imageProjection: Linear<Leaf>;
  /** From the text tower's tokens to [W] */
  readonly textProjection: Linear<Leaf>;
  /** [Q, W], one per position of the caption */
  readonly queries: Leaf;
  readonly blocks: readonly Block<Leaf>[];
  readonly lnFinal: NormParameters<Leaf>;
  /** [vocabSize, W] */
  readonly head: Leaf;
}

/** Final tokens of both towers for N pairs, computed with `allTokens` of {@link TowerOptions}. */
export interface TowerTokens {
  /** [N, K, ·] */
  readonly imageTokens: Tensor;
  /** [N, L, W] */
  readonly textTokens: Tensor;
}

/**
 * Logits [N, Q, vocabSize] of a long caption's tokens, from an image and its short caption (CLIPS, Liu et al. 2024). Learned
 * queries stand in for the words, so all tokens are predicted at once. The blocks have the text tower's shape.
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
  // Only the queries' outputs of the last block are used.
  const last = {
    mask: mask.slice(0, prefixLength, queries),
    read: (tokens: Tensor) => tokens.slice(1, prefixLength, queries),
  };
  let x = concat([prefix, p.queries.expand([pairs, queries, width])], 1); // [N, P + Q, W]
  x = transformer(p.blocks, config, x, { name: "decoder.blocks", mask, checkpointBlocks, last });
  const places = layerNorm(p.lnFinal, x, layerNormEpsilon).reshape([-1, width]);
  return places.matmul(p.head.T).reshape([pairs, queries, p.head.shape[0]!]);
}

/** [P + Q, P + Q]: −∞ hides queries from the prefix, and later queries from earlier ones. */
function prefixMask(prefixLength: number, queries: number): Tensor {
  const length = prefixLength + queries;
  const mask = new Float32Array(length * length);
  for (let row = 0; row < length; row++) {
    mask.fill(-Infinity, row * length + Math.max(prefixLength, row + 1), (row + 1) * length);
  }
  return constant(float32(mask, [length, length]));
}

/** Whether a path belongs to the caption decoder. */
export function isDecoderPath(path: string): boolean {
  return path.startsWith("decoder.");
}
