import { fileURLToPath } from "node:url";
import {
  inferConfig,
  loadParameters,
  openSafetensors,
  openWeightFile,
  readFloats,
} from "../../src/checkpoints/index.ts";
import { type RecordedTowers, recordedTensor } from "../../src/evaluate/recorded-towers.ts";
import { sharedFolder } from "../read-fixture.ts";

/** The folder of our own recording, made by scripts/fixtures-towers.py. */
export const ownTowers = (kind: "vit" | "resnet" | "siglip") =>
  fileURLToPath(new URL(`../../fixtures/towers/${kind}`, import.meta.url));

/** The folder of a recording of OpenAI's own code, in the reference data. */
export const sharedTowers = (name: "vit-tiny" | "rn-tiny") => `${sharedFolder}fixtures/${name}`;

/** Opens a recording of OpenAI's code: the architecture is read off the shapes. The same weights lie in several files. */
export async function openSharedTowers(
  name: "vit-tiny" | "rn-tiny",
  weights = "model.safetensors",
): Promise<RecordedTowers> {
  const path = `${sharedTowers(name)}/${weights}`;
  const config = inferConfig((await openWeightFile(path)).tensors, "quickGelu", path);
  const { tensors: recorded } = await openSafetensors(`${sharedTowers(name)}/io.safetensors`);
  return { config, parameters: await loadParameters(path, config), recorded };
}

/** The recorded numbers of a name. */
export async function valuesOf(recorded: RecordedTowers["recorded"], name: string): Promise<Float32Array> {
  return (await readFloats(recordedTensor(recorded, name))).data;
}
