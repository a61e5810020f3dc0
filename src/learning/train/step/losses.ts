import { ClipError, ShapeError } from "../../../core/errors.ts";
import { float32, int32 } from "../../../core/tensor-data.ts";
import { describe } from "../../../engine/graph/describe.ts";
import { constant, type Tensor } from "../../../engine/graph/tensor.ts";
import type { ClipConfig } from "../../../model/towers/config.ts";

/** Upper bound of logitScale, a factor of 100 (Radford et al. 2021, section 2.5). SigLIP-style models have none (Zhai et al. 2023). */
export const maxLogitScale = Math.log(100);

/**
 * CLIP's loss: the symmetric cross-entropy of N pairs, in nats (Radford et al. 2021, figure 3); ln N at chance.
 *
 * @param logitsPerImage - [N, N], row i for image i. The loss is finite for logits of any size.
 * @param targets - [N, N], symmetric, rows sum to 1. Default: identity. See {@link captionTargets}.
 */
export function clipLoss(logitsPerImage: Tensor, targets?: Tensor): Tensor {
  const rows = pairsOf("clipLoss", logitsPerImage);
  return crossEntropy(logitsPerImage.logSoftmax(1).add(logitsPerImage.logSoftmax(0)), targets ?? identity(rows));
}

/**
 * The share of n of N pairs in {@link clipLoss}; the shares of all pairs sum to the loss. Each process computes only its own rows.
 *
 * @param logitsPerImage - [n, N], own images and all texts.
 * @param logitsPerText - [n, N], own texts and all images.
 * @param targets - [n, N], own rows of the targets.
 */
export function clipLossShare(logitsPerImage: Tensor, logitsPerText: Tensor, targets: Tensor): Tensor {
  return crossEntropy(logitsPerImage.logSoftmax(1).add(logitsPerText.logSoftmax(1)), targets);
}

/** −(1/2N) Σ target · log-likelihood. */
function crossEntropy(logLikelihood: Tensor, targets: Tensor): Tensor {
  const sum = logLikelihood.mul(targets).sum();
  return sum.mul(-1 / (2 * lengthOfRows(targets)));
}

/**
 * SigLIP's loss of N pairs, in nats per pair: −(1/N) Σ ln σ(±logit), + for matches (Zhai et al. 2023, algorithm 1). Finite for
 * logits of any size, exact to 6e-8.
 *
 * @param logitsPerImage - [N, N], bias included.
 * @param matches - [N, N], 1 for matches and 0 otherwise. Default: identity. See {@link captionMatches}.
 */
export function siglipLoss(logitsPerImage: Tensor, matches?: Tensor): Tensor {
  const pairs = pairsOf("siglipLoss", logitsPerImage);
  return siglipLossShare(logitsPerImage, matches ?? identity(pairs));
}

/**
 * The share of n of N pairs in {@link siglipLoss}; the shares of all pairs sum to the loss.
 *
 * @param logitsPerImage - [n, N], own images and all texts, bias included.
 * @param matches - [n, N], own rows of the matches.
 */
export function siglipLossShare(logitsPerImage: Tensor, matches: Tensor): Tensor {
  const x = logitsPerImage.mul(matches.mul(-2).add(1));
  // ln(1 + eˣ) = max(x, 0) + ln(1 + e^−|x|). leakyRelu with slope −1 is |x|, with a gradient at 0 that makes the sum's ½.
  const softplus = x.relu().add(x.leakyRelu(-1).neg().exp().add(1).log());
  return softplus.sum().mul(1 / lengthOfRows(matches));
}

/** The loss at chance, for a best guess of 1/N: ln N; SigLIP-style ln N + (N − 1) ln(N / (N − 1)). */
export function chanceLoss({ score }: Pick<ClipConfig, "score">, pairs: number): number {
  const ofOthers = score === "sigmoid" && pairs > 1 ? (pairs - 1) * Math.log(pairs / (pairs - 1)) : 0;
  return Math.log(pairs) + ofOthers;
}

/**
 * Matches for {@link siglipLoss} where captions repeat, [N, N]: 1 for equal captions, 0 otherwise.
 *
 * @param captionGroup - int32 [N], equal numbers for equal captions.
 * @param rows - int32 [n], the groups of some pairs, to get only their rows [n, N]. Default: all.
 */
export function captionMatches(captionGroup: Tensor, rows = captionGroup): Tensor {
  const [pairs] = captionGroup.shape as readonly [number];
  const [count] = rows.shape as readonly [number];
  const isEqual = rows.reshape([count, 1]).equal(captionGroup.reshape([1, pairs]));
  return isEqual.cast("float32");
}

/**
 * Targets for {@link clipLoss} where captions repeat: the k pairs of one caption have 1/k each. Without repeats exactly the identity.
 *
 * @param captionGroup - int32 [N], equal numbers for equal captions.
 * @param rows - see {@link captionMatches}.
 */
export function captionTargets(captionGroup: Tensor, rows = captionGroup): Tensor {
  const matches = captionMatches(captionGroup, rows);
  return matches.div(matches.sum(1, { keepDims: true }));
}

/**
 * Label smoothing: spreads a share of each target row evenly over all N (Szegedy et al. 2016).
 *
 * @param targets - [n, N], rows sum to 1.
 */
export function smoothTargets(targets: Tensor, smoothing: number): Tensor {
  return smoothing === 0 ? targets : targets.mul(1 - smoothing).add(smoothing / lengthOfRows(targets));
}

function lengthOfRows({ shape }: Tensor): number {
  return (shape as readonly [number, number])[1];
}

/**
 * The cross-entropy of a caption decoder, in nats per token: −Σ weight · ln softmax(logits) at the correct tokens.
 *
 * @param logits - [N, Q, V]
 * @param writtenIds - int32 [N, Q], the correct tokens.
 * @param tokenWeights - [N, Q], sum to 1 over the batch; 0 after the end of a caption.
 */
export function captionLoss(logits: Tensor, writtenIds: Tensor, tokenWeights: Tensor): Tensor {
  const [pairs, length, vocabSize] = logits.shape as readonly [number, number, number];
  const places = pairs * length;
  if (places * vocabSize > 2 ** 31 - 1)
    throw new ClipError(
      "CLIP_CONFIG",
      `${pairs} captions × ${length} tokens × a vocabulary of ${vocabSize} exceed 2^31 logits; lower chunkSize`,
    );
  // Offsets of each token's logits in all of them as one row.
  const starts = Int32Array.from({ length: places }, (_, place) => place * vocabSize);
  const at = writtenIds.reshape([places]).add(constant(int32(starts, [places])));
  const all = logits.logSoftmax(2).reshape([places * vocabSize]);
  const weighted = all.gather(at).mul(tokenWeights.reshape([places]));
  return weighted.sum().neg();
}

function pairsOf(loss: string, logits: Tensor): number {
  const [rows, columns] = logits.shape;
  if (logits.rank === 2 && rows === columns && typeof rows === "number") return rows;
  throw new ShapeError(loss, "needs logits of as many images as texts, [N, N]", { logits: describe(logits) });
}

function identity(size: number): Tensor {
  const data = new Float32Array(size * size);
  for (let i = 0; i < size; i++) data[i * size + i] = 1;
  return constant(float32(data, [size, size]));
}
