import { Random } from "../../../core/random.ts";
import { int32, type TensorData } from "../../../core/tensor-data.ts";
import { parameterSpecs } from "../../../model/nn/parameters.ts";
import type { ClipConfig } from "../../../model/towers/config.ts";
import { clipParameters } from "../../../model/towers/parameters.ts";
import { purposes } from "../batches/sampling.ts";

/** A ViT's tokens per image: the class token, if it has one, then the patches. */
function tokensOf(config: ClipConfig): { readonly others: number; readonly patches: number } {
  const specs = parameterSpecs(clipParameters(config));
  const [tokens] = specs.get("vision.positionalEmbedding")!.shape as [number];
  const others = specs.has("vision.classEmbedding") ? 1 : 0;
  return { others, patches: tokens - others };
}

/** Tokens of an image that a step keeps: the class token, if there is one, and at least one patch. */
export function keptTokenCount(config: ClipConfig, patchDropout: number): number {
  const { patches, others } = tokensOf(config);
  return others + Math.max(1, Math.round((1 - patchDropout) * patches));
}

/**
 * The rows of tokens that a step keeps for some pairs, counted from the first pair's first token; nothing without patch dropout.
 * A pair keeps the same patches in every split of the batch.
 */
export function drawKeptTokens(
  { config, patchDropout, seed }: { config: ClipConfig; patchDropout: number; seed: number },
  step: number,
  firstPair: number,
  pairs: number,
): { keptTokens?: TensorData } {
  if (patchDropout === 0) return {};
  const { others, patches } = tokensOf(config);
  const kept = keptTokenCount(config, patchDropout);
  const rows = Array.from({ length: pairs }, (_, i) => {
    const order = new Random(seed, purposes.patches, step, firstPair + i).permutation(patches);
    const drawn = order.subarray(0, kept - others);
    const tokens = [...Array(others).keys(), ...Array.from(drawn, (patch) => others + patch)];
    return tokens.map((token) => i * (others + patches) + token);
  });
  return { keptTokens: int32(rows.flat(), [pairs, kept]) };
}
