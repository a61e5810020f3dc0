import { checkpoint } from "../autodiff/gradients.ts";
import { float32, int32 } from "../core/tensor-data.ts";
import { constant, type Tensor } from "../graph/tensor.ts";
import { type Affine, type Block, block, layerNorm } from "../nn/layers.ts";
import type { ClipConfig } from "./config.ts";
import type { TowerOptions } from "./vision-transformer.ts";

/** Parameters of the text tower; W = width. */
export interface TextTransformer<Leaf = Tensor> {
  /** [vocabSize, W] */
  readonly tokenEmbedding: Leaf;
  /** [contextLength, W] */
  readonly positionalEmbedding: Leaf;
  readonly blocks: readonly Block<Leaf>[];
  readonly lnFinal: Affine<Leaf>;
  /** [W, E] */
  readonly projection: Leaf;
}

/**
 * inputIds int32 [T, L] to textFeatures [T, E]: what stands at the end-of-text, which has seen the whole text.
 *
 * @param endOfText - int32 [T]: its position in each text.
 */
export function textTransformer(
  p: TextTransformer,
  { activation, text: { heads } }: ClipConfig,
  inputIds: Tensor,
  endOfText: Tensor,
  { checkpointBlocks = false }: TowerOptions = {},
): Tensor {
  const length = inputIds.shape[1] as number;
  const mask = causalMask(length);
  let x = p.tokenEmbedding
    .gather(inputIds)
    .named("text.tokens")
    .add(p.positionalEmbedding.slice(0, 0, length)); // [T, L, W]
  p.blocks.forEach((layer, i) => {
    const compute = (input: Tensor) => block(layer, { heads, activation }, input, mask);
    x = (checkpointBlocks ? checkpoint(compute, x) : compute(x)).named(`text.blocks.${i}`);
  });
  return atPositions(layerNorm(p.lnFinal, x).named("text.lnFinal"), endOfText).matmul(p.projection);
}

/** [L, L]: −∞ above the diagonal, so that no token sees a later one. */
function causalMask(length: number): Tensor {
  const mask = new Float32Array(length * length);
  for (let row = 0; row < length; row++) mask.fill(-Infinity, row * length + row + 1, (row + 1) * length);
  return constant(float32(mask, [length, length]));
}

/** Row positions[t] of each [L, W]: a product with one-hot rows, which every provider runs and differentiates. */
function atPositions(x: Tensor, positions: Tensor): Tensor {
  const [texts, length, width] = x.shape as readonly [number, number, number];
  const range = constant(
    int32(
      Int32Array.from({ length }, (_, i) => i),
      [1, length],
    ),
  );
  const oneHot = positions.reshape([texts, 1]).equal(range).cast("float32");
  return oneHot.reshape([texts, 1, length]).matmul(x).reshape([texts, width]);
}
