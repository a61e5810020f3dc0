import { fileURLToPath } from "node:url";
import { inferConfig } from "../../src/model/checkpoints/infer-config.ts";
import { loadParameters } from "../../src/model/checkpoints/load.ts";
import { clipParameters } from "../../src/model/towers/parameters.ts";
import { openSafetensors } from "../../src/model/checkpoints/safetensors.ts";
import { openWeightFile } from "../../src/model/checkpoints/weight-file.ts";
import { readFloats } from "../../src/model/checkpoints/stored-tensor.ts";
import { type RecordedTowers, recordedTensor } from "../../src/learning/parity/recorded-towers.ts";
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
  return { config, parameters: await loadParameters(path, clipParameters(config)), recorded };
}

/** The recorded numbers of a name. */
export async function valuesOf(recorded: RecordedTowers["recorded"], name: string): Promise<Float32Array> {
  return (await readFloats(recordedTensor(recorded, name))).data;
}
