import { checkpoint } from "../../engine/autodiff/gradients.ts";
import { checkOptions, flag, type OptionKinds, record, text } from "../../core/options.ts";
import { type Tensor, tensorKind } from "../../engine/graph/tensor.ts";
import { type AttentionOptions, type Block, block, type BlockConfig } from "./layers.ts";

/** The options of {@link transformer}. */
export interface TransformerOptions {
  /** Name of the blocks in a printed program, such as `vision.blocks`. */
  readonly name: string;
  /** Added to the scores of every block. */
  readonly mask?: Tensor | undefined;
  /** Whether the backward pass recomputes each block from its input, to save memory. Default false. */
  readonly checkpointBlocks?: boolean | undefined;
  /** Options of the last block, where only some of its outputs are used. */
  readonly last?: AttentionOptions | undefined;
}

const transformerKinds: OptionKinds<TransformerOptions> = {
  ...{ name: text, mask: tensorKind, checkpointBlocks: flag, last: record },
};

/** All blocks in turn. [N, L, W] → [N, L, W], or the outputs that `last` reads. */
export function transformer(
  blocks: readonly Block[],
  config: BlockConfig,
  x: Tensor,
  options: TransformerOptions,
): Tensor {
  checkOptions("transformer", options, transformerKinds, ["name"]);
  const { name, mask, checkpointBlocks = false, last } = options;
  for (const [i, p] of blocks.entries()) {
    const attending = (i === blocks.length - 1 && last) || { mask };
    const compute = (input: Tensor) => block(p, config, input, attending);
    x = (checkpointBlocks ? checkpoint(compute, x) : compute(x)).named(`${name}.${i}`);
  }
  return x;
}
