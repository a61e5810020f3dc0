import { ClipError, ShapeError } from "../../../core/errors.ts";
import { float32, int32 } from "../../../core/tensor-data.ts";
import { describe } from "../../../engine/graph/describe.ts";
import { constant, type Tensor } from "../../../engine/graph/tensor.ts";
import type { ClipConfig } from "../../../model/towers/config.ts";

/**
 * logitScale stays at or below this: a factor of 100 (Radford et al. 2021, section 2.5). Where scores are sigmoids it has no
 * limit (Zhai et al. 2023); published ones are beyond.
 */
export const maxLogitScale = Math.log(100);

/**
 * The symmetric cross-entropy of a batch of N pairs, in nats: each image is to find its text among all, each text its
 * image (Radford et al. 2021, figure 3). With N pairs that nothing tells apart it is ln N.
 *
 * @param logitsPerImage - [N, N], row i for image i; finite at any size, as the logarithm is taken inside the softmax.
 * @param targets - [N, N], symmetric, rows summing to 1; by default each pair is its own and only match. See
 *   {@link captionTargets}.
 */
export function clipLoss(logitsPerImage: Tensor, targets?: Tensor): Tensor {
  const rows = pairsOf("clipLoss", logitsPerImage);
  return crossEntropy(logitsPerImage.logSoftmax(1).add(logitsPerImage.logSoftmax(0)), targets ?? identity(rows));
}

/**
 * What n of N pairs bring into {@link clipLoss}: what all N bring adds up to it. So processes that have n pairs each compute n rows in
 * place of N.
 *
 * @param logitsPerImage - [n, N], their images and all texts.
 * @param logitsPerText - [n, N], their texts and all images.
 * @param targets - [n, N], their rows of the targets.
 */
export function clipLossShare(logitsPerImage: Tensor, logitsPerText: Tensor, targets: Tensor): Tensor {
  return crossEntropy(logitsPerImage.logSoftmax(1).add(logitsPerText.logSoftmax(1)), targets);
}

/** −(1/2N) Σ target · both logarithms, of rows of N. */
function crossEntropy(logLikelihood: Tensor, targets: Tensor): Tensor {
  return logLikelihood
    .mul(targets)
    .sum()
    .mul(-1 / (2 * lengthOfRows(targets)));
}

/**
 * The sigmoid loss of a batch of N pairs, in nats a pair: each image and each text are to say whether they belong
 * together, whatever else is in the batch (Zhai et al. 2023, algorithm 1). −(1/N) Σ ln σ(±logit), + for what belongs
 * together. The value of a logit of any size is finite, and exact to 6e-8.
 *
 * @param logitsPerImage - [N, N], with the bias.
 * @param matches - [N, N], 1 for what belongs together and 0 for the rest; by default each pair is its own and only match.
 *   See {@link captionMatches}.
 */
export function siglipLoss(logitsPerImage: Tensor, matches?: Tensor): Tensor {
  const pairs = pairsOf("siglipLoss", logitsPerImage);
  return siglipLossShare(logitsPerImage, matches ?? identity(pairs));
}

/**
 * What n of N pairs bring into {@link siglipLoss}: what all N bring adds up to it.
 *
 * @param logitsPerImage - [n, N], their images and all texts, with the bias.
 * @param matches - [n, N], their rows of the matches.
 */
export function siglipLossShare(logitsPerImage: Tensor, matches: Tensor): Tensor {
  const x = logitsPerImage.mul(matches.mul(-2).add(1));
  // ln(1 + eˣ) without overflow; slope −1 makes the absolute value, whose slope at 0 is then the right one too.
  const softplus = x.relu().add(x.leakyRelu(-1).neg().exp().add(1).log());
  return softplus.sum().mul(1 / lengthOfRows(matches));
}

/**
 * The loss of a model to which all N pairs are alike, whose best guess is 1/N: with softmaxes ln N, with sigmoids
 * ln N + (N − 1) ln(N / (N − 1)).
 */
export function chanceLoss({ score }: Pick<ClipConfig, "score">, pairs: number): number {
  const ofOthers = score === "sigmoid" && pairs > 1 ? (pairs - 1) * Math.log(pairs / (pairs - 1)) : 0;
  return Math.log(pairs) + ofOthers;
}

/**
 * Which images and texts belong together where captions repeat, [N, N]: 1 for those of equal captions, 0 for the rest.
 *
 * @param captionGroup - int32 [N]: equal numbers for equal captions.
 * @param rows - int32 [n], those of the pairs whose rows [n, N] are wanted; default all.
 */
export function captionMatches(captionGroup: Tensor, rows = captionGroup): Tensor {
  const [pairs] = captionGroup.shape as readonly [number];
  const [wanted] = rows.shape as readonly [number];
  return rows
    .reshape([wanted, 1])
    .equal(captionGroup.reshape([1, pairs]))
    .cast("float32");
}

/**
 * Targets for {@link clipLoss} where captions repeat: the k pairs with one caption are all right for each other, with
 * 1/k each. Without repeats these are exactly the plain targets.
 *
 * @param captionGroup - int32 [N]: equal numbers for equal captions.
 * @param rows - as {@link captionMatches} takes it.
 */
export function captionTargets(captionGroup: Tensor, rows = captionGroup): Tensor {
  const matches = captionMatches(captionGroup, rows);
  return matches.div(matches.sum(1, { keepDims: true }));
}

/**
 * Targets for {@link clipLoss} that are less sure: of each row a share of `smoothing` goes to all N alike (Szegedy et al.
 * 2016).
 *
 * @param targets - rows of N that sum to 1.
 */
export function smoothTargets(targets: Tensor, smoothing: number): Tensor {
  return smoothing === 0 ? targets : targets.mul(1 - smoothing).add(smoothing / lengthOfRows(targets));
}

/** N of [n, N]. */
function lengthOfRows({ shape }: Tensor): number {
  return (shape as readonly [number, number])[1];
}

/**
 * How far a decoder is from writing captions, in nats a token: −Σ weights · ln softmax(logits) at the tokens that are right.
 *
 * @param logits - [N, Q, V]: what stands at each place.
 * @param writtenIds - int32 [N, Q]: what should.
 * @param tokenWeights - [N, Q], summing to 1 over the whole batch; 0 behind the end of a caption.
 */
export function captionLoss(logits: Tensor, writtenIds: Tensor, tokenWeights: Tensor): Tensor {
  const [pairs, length, vocabSize] = logits.shape as readonly [number, number, number];
  const places = pairs * length;
  if (places * vocabSize > 2 ** 31 - 1)
    throw new ClipError(
      "CLIP_CONFIG",
      `${pairs} captions of ${length} tokens of ${vocabSize} are more scores than a program can count; set chunkSize lower`,
    );
  // Where each place's row of the vocabulary begins, in all of them as one row.
  const starts = Int32Array.from({ length: places }, (_, place) => place * vocabSize);
  const at = writtenIds.reshape([places]).add(constant(int32(starts, [places])));
  const logLikelihood = logits
    .logSoftmax(2)
    .reshape([places * vocabSize])
    .gather(at);
  return logLikelihood
    .mul(tokenWeights.reshape([places]))
    .sum()
    .neg();
}

/** N of logits [N, N]. */
function pairsOf(loss: string, logits: Tensor): number {
  const [rows, columns] = logits.shape;
  if (logits.rank === 2 && rows === columns && typeof rows === "number") return rows;
  throw new ShapeError(loss, "needs as many images as texts, [N, N]", { logits: describe(logits) });
}

function identity(size: number): Tensor {
  const data = new Float32Array(size * size);
  for (let i = 0; i < size; i++) data[i * size + i] = 1;
  return constant(float32(data, [size, size]));
}
