import { ShapeError } from "../../core/errors.ts";
import { describe } from "../../engine/graph/describe.ts";
import type { Tensor } from "../../engine/graph/tensor.ts";
import type { NormParameters } from "./layers.ts";

/** ε of batch and group norm, PyTorch's default. */
const epsilon = 1e-5;

/** Weight of a batch's statistics in the running average, PyTorch's default. */
const momentum = 0.1;

/** Gain, shift, and the running statistics for inference; all [C]. */
export interface BatchNorm<Leaf = Tensor> extends NormParameters<Leaf> {
  readonly runningMean: Leaf;
  readonly runningVar: Leaf;
}

/** Old and new value of a running statistic in a training step. */
export interface StatisticUpdate {
  readonly old: Tensor;
  readonly new: Tensor;
}

/**
 * Normalizes each channel of [N, C, H, W] by the running statistics.
 *
 * @param updates - given in training: the batch's own statistics are used, and the new running ones are appended here. The
 *   batch is normalized with its biased variance; the running variance is unbiased.
 */
export function batchNorm(p: BatchNorm, x: Tensor, updates?: StatisticUpdate[]): Tensor {
  if (!updates) return scaleChannels(x, p, p.runningMean, p.runningVar);
  const axes = [0, 2, 3];
  const mean = x.mean(axes);
  const centred = x.sub(perChannel(mean));
  const variance = centred.square().mean(axes);
  const [n, , height, width] = x.shape as readonly [number, number, number, number];
  const count = n * height * width;
  const average = (old: Tensor, batch: Tensor) => ({ old, new: old.mul(1 - momentum).add(batch.mul(momentum)) });
  updates.push(average(p.runningMean, mean), average(p.runningVar, variance.mul(count / (count - 1))));
  const scale = p.weight.div(variance.add(epsilon).sqrt());
  return centred.mul(perChannel(scale)).add(perChannel(p.bias));
}

/** Normalizes groups of channels of each image, [N, C, H, W] (Wu and He 2018). */
export function groupNorm({ weight, bias }: NormParameters, groups: number, x: Tensor): Tensor {
  const [n, channels, height, width] = x.shape as readonly [number, number, number, number];
  if (channels % groups !== 0)
    throw new ShapeError("groupNorm", `${channels} channels do not divide into ${groups} groups`, { x: describe(x) });
  const standardized = x
    .reshape([n, groups, (channels / groups) * height * width])
    .standardize(epsilon)
    .reshape(x.shape);
  return standardized.mul(perChannel(weight)).add(perChannel(bias));
}

/** Inference: one scale and shift per channel, which ONNX Runtime folds into the preceding convolution. */
function scaleChannels(x: Tensor, { weight, bias }: NormParameters, mean: Tensor, variance: Tensor): Tensor {
  const scale = weight.div(variance.add(epsilon).sqrt());
  return x.mul(perChannel(scale)).add(perChannel(bias.sub(mean.mul(scale))));
}

/** [C] → [1, C, 1, 1] */
function perChannel(x: Tensor): Tensor {
  return x.reshape([1, -1, 1, 1]);
}
