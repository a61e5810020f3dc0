import { checkpoint } from "../../engine/autodiff/gradients.ts";
import type { Tensor } from "../../engine/graph/tensor.ts";
import { type AttentionOptions, type Block, block, type BlockConfig } from "./layers.ts";

export interface TransformerOptions {
  /** Prefix of the blocks' names in the program: `vision.blocks`. */
  readonly name: string;
  /** Added to the attention scores of every block. */
  readonly mask?: Tensor | undefined;
  /** The backward pass keeps only each block's input and recomputes the rest. */
  readonly checkpointBlocks?: boolean | undefined;
  /** Options of the last block instead of `mask`, where only some of its outputs are used. */
  readonly last?: AttentionOptions | undefined;
}

/** A stack of blocks, [N, L, W] → [N, L, W], or [N, R, W] if `last` reads only some tokens. */
export function transformer(
  blocks: readonly Block[],
  config: BlockConfig,
  x: Tensor,
  { name, mask, checkpointBlocks = false, last }: TransformerOptions,
): Tensor {
  for (const [i, p] of blocks.entries()) {
    const options = (i === blocks.length - 1 && last) || { mask };
    const compute = (input: Tensor) => block(p, config, input, options);
    x = (checkpointBlocks ? checkpoint(compute, x) : compute(x)).named(`${name}.${i}`);
  }
  return x;
}
