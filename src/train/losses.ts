import { ShapeError } from "../core/errors.ts";
import { float32 } from "../core/tensor-data.ts";
import { describe } from "../graph/describe.ts";
import { constant, type Tensor } from "../graph/tensor.ts";

/**
 * The symmetric cross-entropy of a batch of N pairs, in nats: each picture is to find its text among all, each text its
 * picture (Radford et al. 2021, figure 3). With N pairs that nothing tells apart it is ln N.
 *
 * @param logitsPerImage - [N, N], row i for picture i; finite at any size, as the logarithm is taken inside the softmax.
 * @param targets - [N, N], symmetric, rows summing to 1; by default each pair is its own and only match. See
 *   {@link captionTargets}.
 */
export function clipLoss(logitsPerImage: Tensor, targets?: Tensor): Tensor {
  const [rows, columns] = logitsPerImage.shape;
  if (logitsPerImage.rank !== 2 || rows !== columns || typeof rows !== "number") {
    throw new ShapeError("clipLoss", "needs as many pictures as texts, [N, N]", { logits: describe(logitsPerImage) });
  }
  const wanted = targets ?? identity(rows);
  const logLikelihood = logitsPerImage.logSoftmax(1).add(logitsPerImage.logSoftmax(0));
  return logLikelihood
    .mul(wanted)
    .sum()
    .mul(-1 / (2 * rows));
}

/**
 * Targets for {@link clipLoss} where captions repeat: the k pairs with one caption are all right for each other, with
 * 1/k each. Without repeats these are exactly the plain targets.
 *
 * @param captionGroup - int32 [N]: equal numbers for equal captions.
 */
export function captionTargets(captionGroup: Tensor): Tensor {
  const [pairs] = captionGroup.shape as readonly [number];
  const same = captionGroup
    .reshape([pairs, 1])
    .equal(captionGroup.reshape([1, pairs]))
    .cast("float32");
  return same.div(same.sum(1, { keepDims: true }));
}

function identity(size: number): Tensor {
  const data = new Float32Array(size * size);
  for (let i = 0; i < size; i++) data[i * size + i] = 1;
  return constant(float32(data, [size, size]));
}
