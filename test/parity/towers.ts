import { fileURLToPath } from "node:url";
import {
  inferConfig,
  loadParameters,
  openSafetensors,
  openWeightFile,
  readFloats,
  readIntegers,
  type StoredParameters,
  type StoredTensor,
} from "../../src/checkpoints/index.ts";
import { int32, type TensorData } from "../../src/core/tensor-data.ts";
import type { ClipConfig } from "../../src/models/index.ts";
import { sharedFolder } from "../read-fixture.ts";

/** A tiny CLIP, recorded elsewhere. */
export interface RecordedTowers {
  readonly config: ClipConfig;
  readonly parameters: StoredParameters;
  /** Inputs, outputs and activations, by the names of the recording. */
  readonly recorded: ReadonlyMap<string, StoredTensor>;
}

/** The folder of our own recording, made by scripts/fixtures-towers.py. */
export const ownTowers = (kind: "vit" | "resnet" | "siglip") =>
  fileURLToPath(new URL(`../../fixtures/towers/${kind}`, import.meta.url));

/** The folder of a recording of OpenAI's own code, in the reference data. */
export const sharedTowers = (name: "vit-tiny" | "rn-tiny") => `${sharedFolder}fixtures/${name}`;

/** Opens a recording; without a config, the architecture is read off the shapes. The same weights may lie in several files. */
export async function openTowers(
  folder: string,
  config?: ClipConfig,
  weights = "model.safetensors",
): Promise<RecordedTowers> {
  const path = `${folder}/${weights}`;
  config ??= inferConfig((await openWeightFile(path)).tensors, "quickGelu", path);
  const { tensors: recorded } = await openSafetensors(`${folder}/io.safetensors`);
  return { config, parameters: await loadParameters(path, config), recorded };
}

/** Text ids with the places of their ends: the first of the largest ids, as OpenAI's code has it. */
export async function readTexts(ids: StoredTensor): Promise<{ inputIds: TensorData; endOfText: TensorData }> {
  const inputIds = await readIntegers(ids);
  const [texts, length] = inputIds.shape as [number, number];
  const ends = Array.from({ length: texts }, (_, i) => {
    const row = inputIds.data.subarray(i * length, (i + 1) * length);
    return row.indexOf(Math.max(...row));
  });
  return { inputIds, endOfText: int32(ends, [texts]) };
}

/** The recorded values of a tensor. */
export async function valuesOf(recorded: ReadonlyMap<string, StoredTensor>, name: string): Promise<Float32Array> {
  const tensor = recorded.get(name);
  if (!tensor) throw new Error(`nothing is recorded under ${name}`);
  return (await readFloats(tensor)).data;
}

/** ‖met − wanted‖ / ‖wanted‖ */
export function relativeError(met: ArrayLike<number>, wanted: ArrayLike<number>): number {
  if (met.length !== wanted.length) throw new Error(`${met.length} numbers against ${wanted.length}`);
  let difference = 0;
  let size = 0;
  for (let i = 0; i < wanted.length; i++) {
    difference += (met[i]! - wanted[i]!) ** 2;
    size += wanted[i]! ** 2;
  }
  return Math.sqrt(difference / size);
}
