import { averagePool, concat, conv2d, type Tensor } from "../../engine/graph/tensor.ts";
import { attend, type Linear, linear, mergeHeads, splitHeads } from "../nn/layers.ts";
import { type BatchNorm, batchNorm, groupNorm, type StatisticUpdate } from "../nn/norms.ts";
import type { ResNetConfig } from "./config.ts";

/** Channels per group in group norm. */
const groupSize = 8;

/** A convolution without bias, kernel [O, C, k, k], followed by a norm. */
export interface ConvNorm<Leaf = Tensor> {
  readonly kernel: Leaf;
  readonly norm: BatchNorm<Leaf>;
}

/** Three convolutions (1×1, 3×3, 1×1), and a 1×1 convolution on the shortcut if the shape changes. */
export interface Bottleneck<Leaf = Tensor> {
  readonly conv1: ConvNorm<Leaf>;
  readonly conv2: ConvNorm<Leaf>;
  readonly conv3: ConvNorm<Leaf>;
  readonly downsample?: ConvNorm<Leaf>;
}

/** Attention from one query, the mean, to all G × G positions; C channels. */
export interface AttentionPool<Leaf = Tensor> {
  /** [G² + 1, C], the mean's first */
  readonly positionalEmbedding: Leaf;
  readonly q: Linear<Leaf>;
  readonly k: Linear<Leaf>;
  readonly v: Linear<Leaf>;
  /** To [E] */
  readonly out: Linear<Leaf>;
}

export interface ModifiedResNet<Leaf = Tensor> {
  readonly stem: readonly ConvNorm<Leaf>[];
  readonly stages: readonly (readonly Bottleneck<Leaf>[])[];
  readonly attentionPool: AttentionPool<Leaf>;
}

export interface AttentionPoolOutput {
  readonly imageFeatures: Tensor;
  readonly tokens: Tensor;
}

type Norm = (p: BatchNorm, x: Tensor) => Tensor;

/**
 * pixelValues [I, 3, S, S] → imageFeatures [I, E], and the attention pool's input tokens [I, G² + 1, C].
 *
 * @param updates - given in training: batch norm uses the batch's statistics and appends the new running ones here.
 * @see {@link https://github.com/openai/CLIP | openai/CLIP} `clip/model.py`, `ModifiedResNet`.
 */
export function modifiedResNet(
  p: ModifiedResNet,
  config: ResNetConfig,
  pixelValues: Tensor,
  updates?: StatisticUpdate[],
): AttentionPoolOutput {
  const norm: Norm =
    config.norm === "batch"
      ? (params, x) => batchNorm(params, x, updates)
      : (params, x) => groupNorm(params, (x.shape[1] as number) / groupSize, x);

  let x = pixelValues;
  p.stem.forEach(({ kernel, norm: params }, i) => {
    x = norm(params, conv2d(x, kernel, { stride: i === 0 ? 2 : 1, padding: 1 })).relu();
  });
  x = averagePool(x, 2).named("vision.stem");
  p.stages.forEach((stage, s) =>
    stage.forEach((layer, i) => {
      x = bottleneck(layer, norm, s > 0 && i === 0 ? 2 : 1, x).named(`vision.stages.${s}.${i}`);
    }),
  );
  return attentionPool(p.attentionPool, config.heads, x);
}

/** Strides are average pools: after the second convolution, and before the one on the shortcut. */
function bottleneck(p: Bottleneck, norm: Norm, stride: number, x: Tensor): Tensor {
  const convNorm = (layer: ConvNorm, input: Tensor, padding = 0) =>
    norm(layer.norm, conv2d(input, layer.kernel, { padding }));
  let y = convNorm(p.conv1, x).relu();
  y = averagePool(convNorm(p.conv2, y, 1).relu(), stride);
  y = convNorm(p.conv3, y);
  const shortcut = p.downsample ? convNorm(p.downsample, averagePool(x, stride)) : x;
  return y.add(shortcut).relu();
}

/** [I, C, G, G] → [I, E] */
function attentionPool(p: AttentionPool, heads: number, x: Tensor): AttentionPoolOutput {
  const [images, channels, height, width] = x.shape as readonly [number, number, number, number];
  const places = x.reshape([images, channels, height * width]).transpose([0, 2, 1]); // [I, G², C]
  const tokens = concat([places.mean(1, { keepDims: true }), places], 1).add(p.positionalEmbedding); // [I, G² + 1, C]
  const q = splitHeads(linear(p.q, tokens.slice(1, 0, 1)), heads);
  const [k, v] = [p.k, p.v].map((layer) => splitHeads(linear(layer, tokens), heads));
  const imageFeatures = linear(p.out, mergeHeads(attend(q, k!, v!)).reshape([images, channels]));
  return { imageFeatures, tokens };
}
