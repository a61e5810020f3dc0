import { checkpoint } from "../../engine/autodiff/gradients.ts";
import type { Tensor } from "../../engine/graph/tensor.ts";
import { type AttentionOptions, type Block, block, type BlockConfig } from "./layers.ts";

/** How a stack of blocks is computed, beside its parameters. */
export interface TransformerOptions {
  /** What the blocks are called in a program: `vision.blocks`. */
  readonly name: string;
  /** Added to the scores of every block. */
  readonly mask?: Tensor | undefined;
  /** Gradients keep only the input of each block and compute the inside again. */
  readonly checkpointBlocks?: boolean | undefined;
  /** An optimization: what the last block computes, where only some of its outputs are used. */
  readonly last?: AttentionOptions | undefined;
}

/** [N, L, W] through all blocks: [N, L, W], or of the last block's outputs those that `last` reads. */
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
