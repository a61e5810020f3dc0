import { readFile } from "node:fs/promises";
import { expect } from "vitest";
import { gradients } from "../../src/engine/autodiff/gradients.ts";
import { clipLayouts } from "../../src/model/checkpoints/names/layouts.ts";
import { openSafetensors } from "../../src/model/checkpoints/safetensors.ts";
import { readFloats, readIntegers, type StoredTensor } from "../../src/model/checkpoints/stored-tensor.ts";
import { readParameters } from "../../src/model/checkpoints/load.ts";
import { float32, type TensorData } from "../../src/core/tensor-data.ts";
import { relativeError } from "../../src/learning/parity/compare.ts";
import { pooledPlaces } from "../../src/model/embedding/forward.ts";
import { input, type Tensor } from "../../src/engine/graph/tensor.ts";
import { l2Normalize } from "../../src/model/nn/layers.ts";
import { type Clip, clipLogits } from "../../src/model/towers/clip.ts";
import { imageTower } from "../../src/model/towers/image-tower.ts";
import { textTransformer } from "../../src/model/towers/text-transformer.ts";
import { type ClipConfig } from "../../src/model/towers/config.ts";
import { mapParameters, parameterSpecs } from "../../src/model/nn/parameters.ts";
import { clipParameters } from "../../src/model/towers/parameters.ts";
import type { StatisticUpdate } from "../../src/model/nn/norms.ts";
import { clipLoss } from "../../src/learning/train/step/losses.ts";
import { sharedFolder } from "../read-fixture.ts";
import { openSharedTowers } from "./towers.ts";

/** Values by our paths. */
export type Values = Map<string, Float32Array>;

/** The recorded training run of a tiny CLIP, under our paths. */
export interface TrainingRun {
  readonly config: ClipConfig;
  readonly start: Values;
  readonly record: TrainingRecord;
  /** A recorded name to ours. */
  readonly toOurs: (name: string) => string;
  /** Feeds of a batch of these pairs. */
  readonly batch: (pairs: readonly number[]) => Record<string, TensorData>;
  /** The pairs of each step. */
  readonly steps: readonly (readonly number[])[];
  /** Pairs of the batch that is also cut into chunks. */
  readonly chunked: readonly number[];
  readonly open: (file: string) => Promise<ReadonlyMap<string, StoredTensor>>;
}

/** What train.json says, as far as it is used. */
export interface TrainingRecord {
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly decayed: readonly string[];
  readonly batch0: { readonly numerically_zero_grads: readonly string[] };
  readonly steps: readonly RecordedStep[];
  readonly loss_sensitivity_per_step: readonly number[];
  readonly final_rel_l2_fp32_vs_fp64: Readonly<Record<string, number>>;
  readonly clamp_run: { readonly steps: readonly RecordedStep[] };
}

interface RecordedStep {
  readonly lr: number;
  readonly loss: number;
  readonly logit_scale_grad: number;
  readonly logit_scale_after: number;
}

/** Opens the recorded run of the reference data for one of the two towers. */
export async function openTrainingRun(kind: "vit" | "rn"): Promise<TrainingRun> {
  const folder = `${sharedFolder}fixtures/train/${kind}`;
  const { config, parameters } = await openSharedTowers(`${kind}-tiny`);
  const record = JSON.parse(await readFile(`${folder}/train.json`, "utf8")) as TrainingRecord;
  const open = async (file: string) => (await openSafetensors(`${folder}/${file}`)).tensors;
  const data = await open("data.safetensors");
  const images = await readIntegers(data.get("images_u8")!);
  const inputIds = await readIntegers(data.get("input_ids")!);
  const endOfText = pooledPlaces(inputIds, config.text.pool);
  const indices = await readIntegers(data.get("batch_index")!);
  const [steps, size] = indices.shape as [number, number];
  const chunked = data.get("gradcache_index");
  const pixelValues = normalize(images, record);
  const layout = clipLayouts.detect((await open("final.safetensors")).keys())!;
  return {
    config,
    start: new Map([...(await readParameters(parameters))].map(([path, tensor]) => [path, tensor.data])),
    record,
    // What has no place with us, such as counters, has no name either.
    toOurs: (name) => layout.toOurs(name)?.path ?? "",
    batch: (pairs) => ({
      pixelValues: rows(pixelValues, pairs),
      inputIds: rows(inputIds, pairs),
      endOfText: rows(endOfText, pairs),
    }),
    steps: Array.from({ length: steps }, (_, s) => [...indices.data.subarray(s * size, (s + 1) * size)]),
    chunked: chunked ? [...(await readIntegers(chunked)).data] : [],
    open,
  };
}

/** (u8 / 255 − mean) / std, each step rounded to float32 as the reference does. */
function normalize({ data, shape }: TensorData<"int32">, { mean, std }: TrainingRecord): TensorData {
  const plane = shape[2]! * shape[3]!;
  const f = Math.fround;
  const pixelValues = Float32Array.from(data, (value, i) => {
    const channel = Math.floor(i / plane) % 3;
    return f(f(value / 255) - f(mean[channel]!)) / f(std[channel]!);
  });
  return float32(pixelValues, shape);
}

function rows({ dtype, shape, data }: TensorData, picked: readonly number[]): TensorData {
  const size = data.length / shape[0]!;
  const result = data.slice(0, picked.length * size);
  picked.forEach((row, i) => result.set(data.subarray(row * size, (row + 1) * size) as never, i * size));
  return { dtype, shape: [picked.length, ...shape.slice(1)], data: result };
}

/** Parameters as feeds. */
export function parameterFeeds(config: ClipConfig, parameters: Values): Record<string, TensorData> {
  const specs = parameterSpecs(clipParameters(config));
  return Object.fromEntries([...parameters].map(([path, data]) => [path, float32(data, specs.get(path)!.shape)]));
}

/** Inputs for all parameters, and those among them that are learned. */
export function parameterInputs(config: ClipConfig): { readonly p: Clip; readonly learned: Map<string, Tensor> } {
  const learned = new Map<string, Tensor>();
  const p = mapParameters(clipParameters(config), (path, { shape, trainable }) => {
    const tensor = input(path, shape);
    if (trainable) learned.set(path, tensor);
    return tensor;
  });
  return { p, learned };
}

/** Features of a batch of pairs in training. */
export function encodePairs(p: Clip, config: ClipConfig, pairs: number, updates: StatisticUpdate[] = []) {
  const { imageSize } = config.vision;
  const pixelValues = input("pixelValues", [pairs, 3, imageSize, imageSize]);
  const { imageFeatures } = imageTower(p.vision, config, pixelValues, { updates });
  const inputIds = input("inputIds", [pairs, config.text.contextLength], "int32");
  const endOfText = input("endOfText", [pairs], "int32");
  const { textFeatures } = textTransformer(p.text, config, inputIds, endOfText);
  return { imageFeatures, textFeatures };
}

/** One training step but for the optimiser: `loss`, `logitsPerImage`, `gradient PATH`, and `statistic PATH`. */
export function trainingOutputs(config: ClipConfig, pairs: number): Record<string, Tensor> {
  const { p, learned } = parameterInputs(config);
  const updates: StatisticUpdate[] = [];
  const { imageFeatures, textFeatures } = encodePairs(p, config, pairs, updates);
  const logitsPerImage = clipLogits(p, l2Normalize(imageFeatures), l2Normalize(textFeatures));
  const loss = clipLoss(logitsPerImage);
  const slopes = gradients(loss, [...learned.values()]);
  return {
    loss,
    logitsPerImage,
    ...Object.fromEntries([...learned.keys()].map((path, i) => [`gradient ${path}`, slopes[i]!])),
    ...Object.fromEntries(updates.map((update) => [`statistic ${update.old.name!}`, update.new])),
  };
}

/** The results whose names begin with this word, by what follows it. */
export function resultsOf(word: string, results: Readonly<Record<string, TensorData>>): Values {
  const entries = Object.entries(results).filter(([name]) => name.startsWith(`${word} `));
  return new Map(entries.map(([name, { data }]) => [name.slice(word.length + 1), data as Float32Array]));
}

/** Of a gradient, float32 here and there. */
export const gradientTolerance = 1e-4;
/** The size of what is truly 0. */
const zero = 1e-6;

const largestSize = (values: Float32Array) => values.reduce((size, value) => Math.max(size, Math.abs(value)), 0);

/** Gradients whose true value is 0: a softmax does not see a shift of all its keys. */
export function trulyZero(path: string, values: Float32Array): Float32Array | undefined {
  if (path.endsWith("attn.qkv.bias")) return values.subarray(values.length / 3, (2 * values.length) / 3);
  return path === "vision.attentionPool.k.bias" ? values : undefined;
}

/** Fails unless gradients by our paths are those of PyTorch. */
export function expectSameGradients(met: Values, wanted: Values): void {
  expect(new Set(met.keys())).toEqual(new Set(wanted.keys()));
  const wrong: string[] = [];
  for (const [path, values] of met) {
    const noise = trulyZero(path, values);
    if (noise && !(largestSize(noise) < zero)) wrong.push(`${path}: ${largestSize(noise)} in place of 0`);
    const error = relativeError(values, wanted.get(path)!);
    if (noise?.length !== values.length && !(error < gradientTolerance)) wrong.push(`${path}: ${error} off`);
  }
  expect(wrong).toEqual([]);
}

/** Recorded values `grad.NAME` (or another prefix), under our paths. */
export async function readRecorded(
  recorded: ReadonlyMap<string, StoredTensor>,
  prefix: string,
  toOurs: (name: string) => string | null | undefined,
): Promise<Values> {
  const values: Values = new Map();
  for (const [name, tensor] of recorded) {
    const path = name.startsWith(prefix) && toOurs(name.slice(prefix.length));
    if (path) values.set(path, (await readFloats(tensor)).data);
  }
  return values;
}

/**
 * AdamW (Loshchilov and Hutter 2019) as briefly as it can be said: the law that the optimiser of the library is held to.
 */
export class ReferenceAdamW {
  readonly #decayed: ReadonlySet<string>;
  readonly #moments = new Map<string, { m: Float32Array; v: Float32Array }>();
  #steps = 0;

  constructor(decayed: ReadonlySet<string>) {
    this.#decayed = decayed;
  }

  step(parameters: Values, gradients: Values, learningRate: number): void {
    const [beta1, beta2, epsilon, weightDecay] = [0.9, 0.98, 1e-6, 0.2];
    this.#steps++;
    for (const [path, g] of gradients) {
      const x = parameters.get(path)!;
      const { m, v } = this.#moments.get(path) ?? { m: new Float32Array(x.length), v: new Float32Array(x.length) };
      this.#moments.set(path, { m, v });
      for (let i = 0; i < x.length; i++) {
        m[i] = beta1 * m[i]! + (1 - beta1) * g[i]!;
        v[i] = beta2 * v[i]! + (1 - beta2) * g[i]! ** 2;
        const [mean, square] = [m[i]! / (1 - beta1 ** this.#steps), v[i]! / (1 - beta2 ** this.#steps)];
        const decay = this.#decayed.has(path) ? learningRate * weightDecay * x[i]! : 0;
        x[i] = x[i]! - decay - (learningRate * mean) / (Math.sqrt(square) + epsilon);
      }
    }
  }
}
