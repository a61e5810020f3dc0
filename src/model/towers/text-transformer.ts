import { checkOptions } from "../../core/options.ts";
import type { Dim } from "../../core/shape.ts";
import { float32, int32 } from "../../core/tensor-data.ts";
import { constant, Tensor } from "../../engine/graph/tensor.ts";
import { type Affine, type Block, layerNorm, type Linear, linear } from "../nn/layers.ts";
import { transformer } from "../nn/transformer.ts";
import type { ClipConfig } from "./config.ts";
import { towerKinds, type TowerOptions } from "./vision-transformer.ts";

/** Parameters of the text tower; W = width. */
export interface TextTransformer<Leaf = Tensor> {
  /** [vocabSize, W] */
  readonly tokenEmbedding: Leaf;
  /** [contextLength, W] */
  readonly positionalEmbedding: Leaf;
  readonly blocks: readonly Block<Leaf>[];
  readonly lnFinal: Affine<Leaf>;
  /** [W, E]; or with a bias */
  readonly projection: Leaf | Linear<Leaf>;
}

/** Outputs of a text tower. */
export interface TextTowerOutput {
  /** [T, E], not normalized. */
  readonly textFeatures: Tensor;
  /** [T, L, W] after the last norm; those that were computed. */
  readonly tokens: Tensor;
}

/**
 * inputIds int32 [T, L] → textFeatures [T, E], read at the end-of-text. L is at most the context length, and may be symbolic.
 *
 * @param endOfText - int32 [T]: its position in each text.
 */
export function textTransformer(
  p: TextTransformer,
  { text, activation, layerNormEpsilon }: ClipConfig,
  inputIds: Tensor,
  endOfText: Tensor,
  options: TowerOptions = {},
): TextTowerOutput {
  checkOptions("textTransformer", options, towerKinds);
  const { checkpointBlocks, allTokens = false } = options;
  const { contextLength, causal = true } = text;
  const config = { heads: text.heads, activation: text.activation ?? activation, layerNormEpsilon };
  const length = inputIds.shape[1]!;
  const whole = causal ? causalMask(contextLength) : undefined;
  const mask = whole?.slice(0, 0, length).slice(1, 0, length);
  const atEnd = (tokens: Tensor) => atPositions(tokens, endOfText, contextLength);
  // Of the last block's output the end-of-text alone is used: its row of the mask for each text, [T, 1, 1, L].
  const endMask = whole?.gather(endOfText).slice(1, 0, length).reshape([-1, 1, 1, length]);
  const last = allTokens ? undefined : { mask: endMask, read: atEnd };

  let x = p.tokenEmbedding.gather(inputIds).named("text.tokens"); // [T, L, W]
  x = x.add(p.positionalEmbedding.slice(0, 0, length)).named("text.embeddings");
  x = transformer(p.blocks, config, x, { name: "text.blocks", mask, checkpointBlocks, last });
  const norm = (tokens: Tensor) => layerNorm(p.lnFinal, tokens, layerNormEpsilon).named("text.lnFinal");
  const pooled = norm((allTokens ? atEnd(x) : x).select(1, 0));
  const { projection } = p;
  const textFeatures = projection instanceof Tensor ? pooled.matmul(projection) : linear(projection, pooled);
  return { textFeatures, tokens: norm(x) };
}

/** [L, L]: −∞ above the diagonal, so that no token sees a later one. */
function causalMask(length: number): Tensor {
  const mask = new Float32Array(length * length);
  for (let row = 0; row < length; row++) mask.fill(-Infinity, row * length + row + 1, (row + 1) * length);
  return constant(float32(mask, [length, length]));
}

/** Row positions[t] of each [L, W], as [T, 1, W]: a product with one-hot rows, which every provider runs and differentiates. */
function atPositions(x: Tensor, positions: Tensor, contextLength: number): Tensor {
  const [texts, length] = x.shape as readonly [Dim, Dim];
  const counted = int32(
    Int32Array.from({ length: contextLength }, (_, i) => i),
    [1, contextLength],
  );
  const range = constant(counted).slice(1, 0, length);
  const oneHot = positions.reshape([texts, 1]).equal(range).cast("float32");
  return oneHot.reshape([texts, 1, length]).matmul(x);
}
