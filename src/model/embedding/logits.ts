import { ClipError } from "../../core/errors.ts";

/** The parameters of a model's logits, on the host. */
export interface LogitParameters {
  /** Log of the scale applied to cosine similarities. */
  readonly logitScale: number;
  /** Logit bias; 0 unless the model is SigLIP-style. */
  readonly logitBias: number;
}

/**
 * A similarity's logit, similarity × exp(logitScale) + logitBias: on the host what `clipLogits` is in a program.
 *
 * @throws {ClipError} `CLIP_RUNTIME` if the scale or the bias is not finite.
 */
export function logitOf({ logitScale, logitBias }: LogitParameters): (similarity: number) => number {
  const scale = Math.exp(logitScale);
  if (!Number.isFinite(scale) || !Number.isFinite(logitBias))
    throw new ClipError(
      "CLIP_RUNTIME",
      `the model's logit scale is ${scale} and its bias ${logitBias}: its weights are damaged`,
    );
  return (similarity) => scale * similarity + logitBias;
}

/** Probabilities that sum to 1. */
export function softmax(logits: ArrayLike<number>): number[] {
  const total = logSumExp(logits);
  return Array.from(logits, (logit) => Math.exp(logit - total));
}

/** log Σ exp(xᵢ), without overflow; −∞ of nothing. */
export function logSumExp(values: ArrayLike<number>): number {
  const all = Array.from(values);
  const largest = all.reduce((a, b) => Math.max(a, b), -Infinity);
  return largest === -Infinity
    ? largest
    : largest + Math.log(all.reduce((sum, value) => sum + Math.exp(value - largest), 0));
}
