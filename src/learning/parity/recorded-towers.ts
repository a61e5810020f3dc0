import { join } from "node:path";
import { clipConfigSchema } from "../../model/checkpoints/config-schema.ts";
import { loadParameters, storedParameters, type StoredParameters } from "../../model/checkpoints/load.ts";
import { clipParameters } from "../../model/towers/parameters.ts";
import { openSafetensors } from "../../model/checkpoints/safetensors.ts";
import { readFloats, readIntegers, type StoredTensor } from "../../model/checkpoints/stored-tensor.ts";
import { ClipError } from "../../core/errors.ts";
import { readJson } from "../../core/parse.ts";
import { concatenate, float32, type TensorData } from "../../core/tensor-data.ts";
import { pooledPlaces } from "../../model/embedding/forward.ts";
import { input, reachable, type Tensor } from "../../engine/graph/tensor.ts";
import { type ClipConfig } from "../../model/towers/config.ts";
import { l2Normalize } from "../../model/nn/layers.ts";
import { clipLogits } from "../../model/towers/clip.ts";
import { imageTower } from "../../model/towers/image-tower.ts";
import { textTransformer } from "../../model/towers/text-transformer.ts";
import { Session } from "../../engine/runtime/session.ts";
import { relativeError } from "./compare.ts";

/** A small CLIP with values that another implementation computed. */
export interface RecordedTowers {
  readonly config: ClipConfig;
  readonly parameters: StoredParameters;
  /** Inputs, outputs and activations, by the names of the recording. */
  readonly recorded: ReadonlyMap<string, StoredTensor>;
}

/**
 * Opens a recording: `config.json`, `model.safetensors`, and values in `io.safetensors`.
 *
 * @throws {ClipError} if one of them cannot be read.
 */
export async function openTowers(folder: string): Promise<RecordedTowers> {
  const config = await readJson(clipConfigSchema, join(folder, "config.json"));
  const { tensors: recorded } = await openSafetensors(join(folder, "io.safetensors"));
  const parameters = await loadParameters(join(folder, "model.safetensors"), clipParameters(config));
  return { config, parameters, recorded };
}

/** Recorded inputs of the towers. */
export async function readFeeds(
  { config, recorded }: RecordedTowers,
  names = { pixelValues: "pixelValues", inputIds: "inputIds" },
): Promise<Record<string, TensorData>> {
  const inputIds = await readIntegers(recordedTensor(recorded, names.inputIds));
  const pixelValues = await readFloats(recordedTensor(recorded, names.pixelValues));
  return { pixelValues, inputIds, endOfText: pooledPlaces(inputIds, config.text.pool) };
}

/**
 * Relative errors of computed outputs.
 *
 * @param outputs - from {@link namedValues}, by the names of the recording.
 * @throws {ClipError} `CLIP_DATA` if a value is not recorded, not computed, or has another shape.
 */
export async function towerErrors(
  recorded: RecordedTowers["recorded"],
  outputs: ReadonlyMap<string, Tensor | undefined>,
  feeds: Record<string, TensorData>,
): Promise<Map<string, number>> {
  const missing = [...outputs].find(([, tensor]) => !tensor);
  if (missing) throw new ClipError("CLIP_DATA", `${missing[0]} is recorded but not computed`);
  await using session = await Session.compile(Object.fromEntries(outputs as ReadonlyMap<string, Tensor>));
  const results = await session.run(feeds);
  const errors = new Map<string, number>();
  for (const [name, met] of Object.entries(results)) {
    const all = await readFloats(recordedTensor(recorded, name));
    const isText = name.startsWith("text");
    const places = isText ? (feeds["endOfText"]!.data as Int32Array) : new Int32Array(all.shape[0] ?? 0);
    const wanted = isReadAlone(met, all) ? rowsAt(all, places) : all;
    // Scalars may be recorded as [1].
    if (met.shape.length > 0 && String(met.shape.filter(isLarger)) !== String(wanted.shape.filter(isLarger)))
      throw new ClipError("CLIP_DATA", `${name} is [${met.shape.join(", ")}], recorded [${wanted.shape.join(", ")}]`);
    errors.set(name, relativeError(met.data as Float32Array, wanted.data));
  }
  return errors;
}

const isLarger = (size: number) => size > 1;

/** Whether all tokens are recorded, [N, L, W], but only the pooled one is computed, [N, 1, W] or [N, W]. */
function isReadAlone(met: TensorData, { shape }: TensorData): boolean {
  const [n, length, width] = shape;
  return shape.length === 3 && length! > 1 && met.data.length === n! * width!;
}

/** Row places[n] of each [L, W] */
function rowsAt({ shape, data }: TensorData<"float32">, places: Int32Array): TensorData<"float32"> {
  const [n, length, width] = shape as readonly [number, number, number];
  const rows = Array.from(places, (place, i) => data.subarray((i * length + place) * width).subarray(0, width));
  return float32(concatenate(rows), [n, width]);
}

/** @throws {ClipError} `CLIP_DATA` if the tensor is missing. */
export function recordedTensor(recorded: RecordedTowers["recorded"], name: string): StoredTensor {
  const tensor = recorded.get(name);
  if (!tensor) throw new ClipError("CLIP_DATA", `nothing is recorded under ${name}`);
  return tensor;
}

/** Named activations and outputs of a forward pass. */
export function namedValues({ config, parameters }: RecordedTowers): Map<string, Tensor> {
  const { imageSize } = config.vision;
  const { contextLength } = config.text;
  const p = storedParameters(clipParameters(config), parameters);
  const pixelValues = input("pixelValues", ["images", 3, imageSize, imageSize]);
  const inputIds = input("inputIds", ["texts", contextLength], "int32");
  const endOfText = input("endOfText", ["texts"], "int32");
  const { imageFeatures } = imageTower(p.vision, config, pixelValues);
  const { textFeatures } = textTransformer(p.text, config, inputIds, endOfText);
  const [imageEmbeds, textEmbeds] = [l2Normalize(imageFeatures), l2Normalize(textFeatures)];
  const logitsPerImage = clipLogits(p, imageEmbeds, textEmbeds);
  const outputs = { imageEmbeds, textEmbeds, logitsPerImage, logitsPerText: logitsPerImage.T };
  const graph = reachable(Object.values(outputs));
  const named = graph.flatMap((tensor): [string, Tensor][] => (tensor.name ? [[tensor.name, tensor]] : []));
  const probabilities = (logits: Tensor) => (config.score === "sigmoid" ? logits.sigmoid() : logits.softmax(1));
  return new Map<string, Tensor>([
    ...named,
    // The last norm is computed only for pooled tokens.
    ["text.pooled", graph.find(({ name }) => name === "text.lnFinal")!],
    ["text.blocks.0.ln1", graph.find(({ inputs }) => inputs[1] === p.text.blocks[0]!.ln1.weight)!],
    ...Object.entries({ imageFeatures, textFeatures, ...outputs, logitScaleExp: p.logitScale.exp() }),
    ["probabilitiesPerImage", probabilities(outputs.logitsPerImage)],
    ["probabilitiesPerText", probabilities(outputs.logitsPerText)],
  ]);
}
