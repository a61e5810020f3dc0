import { Random } from "../../src/core/random.ts";
import { sizeOf } from "../../src/core/shape.ts";
import { float32, type TensorData } from "../../src/core/tensor-data.ts";
import type { LabelledImage } from "../../src/inputs/data/labelled-images.ts";
import { conv2d, input, type Tensor } from "../../src/engine/graph/tensor.ts";
import type { AugmentConfig } from "../../src/inputs/image/augment.ts";
import { clipPreprocess } from "../../src/inputs/image/preprocess-config.ts";
import { decodeImage } from "../../src/inputs/image/decode.ts";
import { normalizePixels } from "../../src/inputs/image/normalize.ts";
import { preprocessImage } from "../../src/inputs/image/preprocess.ts";
import { batchNorm, type StatisticUpdate } from "../../src/model/nn/norms.ts";
import { linear } from "../../src/model/nn/layers.ts";
import { minimize } from "../../src/engine/optimize/minimize.ts";
import { Session } from "../../src/engine/runtime/session.ts";
import { ClipTokenizer } from "../../src/inputs/text/tokenizer.ts";
import { DataLoader, type TrainingBatch } from "../../src/learning/train/batches/loader.ts";
import { scheduledLearningRate } from "../../src/learning/train/schedule.ts";

/** A residual network for images of `imageSize` pixels. */
export interface ResNetConfig {
  readonly imageSize: number;
  /** Channels behind the stem, and behind each block, which halves the sides. */
  readonly widths: readonly number[];
  readonly classes: number;
}

/** How it is trained. */
export interface ResNetTraining {
  readonly batchSize: number;
  readonly steps: number;
  readonly learningRate: number;
  readonly seed: number;
  readonly augment: AugmentConfig;
  readonly onStep?: (step: number, loss: number) => void;
}

/** Weights and statistics by path. */
export type ResNetWeights = ReadonlyMap<string, TensorData<"float32">>;

/** Makes the tensor of a parameter: N(0, std²) at first, or all `value`. */
type Declare = (path: string, shape: readonly number[], initial: { std: number } | { value: number }) => Tensor;

/**
 * pixelValues [I, 3, S, S] to logits [I, C]: residual blocks of two convolutions (He et al. 2016, figure 5), each with half the sides of
 * the one before.
 *
 * @param updates - given in training, as of {@link batchNorm}.
 */
export function smallResNet(
  { imageSize, widths, classes }: ResNetConfig,
  pixelValues: Tensor,
  declare: Declare,
  updates?: StatisticUpdate[],
): Tensor {
  const [stemWidth, ...others] = widths as [number, ...number[]];
  const convNorm = (path: string, x: Tensor, width: number, { size = 3, stride = 1 } = {}) => {
    const channels = x.shape[1] as number;
    const kernel = declare(`${path}.kernel`, [width, channels, size, size], {
      std: Math.sqrt(2 / (channels * size ** 2)),
    });
    const norm = {
      weight: declare(`${path}.weight`, [width], { value: 1 }),
      bias: declare(`${path}.bias`, [width], { value: 0 }),
      runningMean: declare(`${path}.runningMean`, [width], { value: 0 }),
      runningVar: declare(`${path}.runningVar`, [width], { value: 1 }),
    };
    return batchNorm(norm, conv2d(x, kernel, { stride, padding: (size - 1) / 2 }), updates);
  };
  // The first block sees at most 32 × 32 places.
  let x = convNorm("stem", pixelValues, stemWidth, { stride: imageSize > 32 ? 2 : 1 }).relu();
  for (const [i, width] of others.entries()) {
    const inner = convNorm(`blocks.${i}.conv1`, x, width, { stride: 2 }).relu();
    const outer = convNorm(`blocks.${i}.conv2`, inner, width);
    x = outer.add(convNorm(`blocks.${i}.shortcut`, x, width, { size: 1, stride: 2 })).relu();
  }
  const last = widths.at(-1)!;
  const head = {
    weight: declare("head.weight", [classes, last], { std: last ** -0.5 }),
    bias: declare("head.bias", [classes], { value: 0 }),
  };
  return linear(head, x.mean([2, 3]));
}

/** Trains it on images from scratch: cross-entropy, AdamW, random parts of the images, half of them mirrored. */
export async function trainResNet(
  config: ResNetConfig,
  images: readonly LabelledImage[],
  { batchSize, steps, learningRate, seed, augment, onStep }: ResNetTraining,
): Promise<ResNetWeights> {
  const { imageSize, classes } = config;
  const pixelValues = input("pixelValues", [batchSize, 3, imageSize, imageSize]);
  const targets = input("targets", [batchSize, classes]);
  const program = (parameters: ReadonlyMap<string, Tensor>) => {
    const updates: StatisticUpdate[] = [];
    const logits = smallResNet(config, pixelValues, (path) => parameters.get(path)!, updates);
    const loss = targets.mul(logits.logSoftmax(-1)).sum();
    return {
      loss: loss.mul(-1 / batchSize),
      statistics: new Map(updates.map((update) => [update.old.name!, update.new])),
    };
  };
  await using loader = await loaderOf(images, imageSize, { batchSize, seed, augment });
  const batches = loader.batches({ toStep: steps });
  const feeds = async (step: number) => {
    const batch = (await batches.next()).value as TrainingBatch;
    mirrorSome(batch.pixels, imageSize, new Random(seed, step));
    const labels = Array.from(batch.samples, (i: number) => images[i]!.label);
    return {
      pixelValues: float32(standardised(batch.pixels, imageSize), [batchSize, 3, imageSize, imageSize]),
      targets: float32(oneHot(labels, classes), [batchSize, classes]),
    };
  };
  const schedule = { learningRate, steps, warmupSteps: Math.ceil(steps / 20) };
  let weights: ResNetWeights = initialWeights(config, seed);
  const training = minimize(weights, program, {
    steps,
    learningRate: (step) => scheduledLearningRate(step, schedule),
    optimizer: { kind: "adamw", beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.05 },
    feeds,
  });
  for await (const { step, loss, parameters } of training) {
    weights = parameters;
    onStep?.(step, loss);
  }
  return weights;
}

/** What {@link smallResNet} declares, drawn by the seed. */
function initialWeights(config: ResNetConfig, seed: number): ResNetWeights {
  const weights = new Map<string, TensorData<"float32">>();
  const { imageSize } = config;
  smallResNet(config, input("pixelValues", [1, 3, imageSize, imageSize]), (path, shape, initial) => {
    const random = new Random(seed, weights.size);
    const next = () => ("std" in initial ? initial.std * random.normal() : initial.value);
    weights.set(path, float32(Float32Array.from({ length: sizeOf(shape) }, next), shape));
    return input(path, shape);
  });
  return weights;
}

/** The share of images that get their class, in [0, 1]. */
export async function scoreResNet(
  config: ResNetConfig,
  weights: ResNetWeights,
  images: readonly LabelledImage[],
): Promise<number> {
  const { imageSize, classes } = config;
  const pixelValues = input("pixelValues", ["images", 3, imageSize, imageSize]);
  const logits = smallResNet(config, pixelValues, (path, shape) => input(path, shape));
  await using session = await Session.compile({ logits });
  let right = 0;
  for (let start = 0; start < images.length; start += 64) {
    const some = images.slice(start, start + 64);
    const data = new Float32Array(some.length * 3 * imageSize ** 2);
    await Promise.all(
      some.map(async ({ image }, i) => {
        const { pixelValues } = preprocessImage(await decodeImage(image), { ...clipPreprocess, imageSize });
        data.set(pixelValues, i * pixelValues.length);
      }),
    );
    const feeds = { pixelValues: float32(data, [some.length, 3, imageSize, imageSize]) };
    const results = await session.run({ ...feeds, ...Object.fromEntries(weights) });
    const scores = results["logits"]!.data as Float32Array;
    some.forEach(({ label }, i) => {
      const row = scores.subarray(i * classes, (i + 1) * classes);
      if (row.indexOf(Math.max(...row)) === label) right++;
    });
  }
  return right / images.length;
}

/** The loader of training pairs; its captions are of no use here. */
async function loaderOf(
  images: readonly LabelledImage[],
  imageSize: number,
  options: Pick<ResNetTraining, "batchSize" | "seed" | "augment">,
): Promise<DataLoader> {
  const samples = images.map(({ image, label }) => ({ image, captions: [String(label)] }));
  return new DataLoader(samples, {
    ...options,
    contextLength: 8,
    tokenizer: await ClipTokenizer.published(),
    preprocess: { ...clipPreprocess, imageSize },
  });
}

/** Exchanges left and right of about half of the images [N, S, S, 3]. */
function mirrorSome(pixels: Uint8Array, imageSize: number, random: Random): void {
  const [size, width] = [3 * imageSize ** 2, 3 * imageSize];
  for (let start = 0; start < pixels.length; start += size) {
    if (random.uniform() < 0.5) continue;
    for (let row = start; row < start + size; row += width) {
      const old = pixels.slice(row, row + width);
      for (let x = 0; x < width; x += 3) pixels.set(old.subarray(width - 3 - x, width - x), row + x);
    }
  }
}

/** [N, 3, S, S] of images [N, S, S, 3]. */
function standardised(pixels: Uint8Array, imageSize: number): Float32Array {
  const size = 3 * imageSize ** 2;
  const values = new Float32Array(pixels.length);
  for (let start = 0; start < pixels.length; start += size)
    values.set(normalizePixels(pixels.subarray(start, start + size), { ...clipPreprocess, imageSize }), start);
  return values;
}

function oneHot(labels: readonly number[], classes: number): Float32Array {
  const rows = new Float32Array(labels.length * classes);
  labels.forEach((label, i) => (rows[i * classes + label] = 1));
  return rows;
}
