import { z } from "zod";
import { size } from "../checkpoints/config-schema.ts";
import { readParameter, type StoredParameters } from "../checkpoints/load.ts";
import { openSafetensors } from "../checkpoints/safetensors.ts";
import { readFloats } from "../checkpoints/stored-tensor.ts";
import { ClipError } from "../../core/errors.ts";
import { join } from "../../core/files.ts";
import { listed } from "../../core/listing.ts";
import { readJson } from "../../core/parse.ts";
import { sameShape } from "../../core/shape.ts";
import { float32, type TensorData } from "../../core/tensor-data.ts";
import type { LoraConfig } from "../towers/config.ts";

/** File names of LoRA adapters. */
export const loraFiles = { config: "lora.json", weights: "lora.safetensors" } as const;

/** Schema of {@link LoraConfig}. */
export const loraConfigSchema = z.strictObject({ rank: size(1_024), alpha: z.number().positive().max(65_536) });

/** Values of parameters by path. */
export type Parameters = ReadonlyMap<string, TensorData<"float32">>;

/** Whether a path belongs to a LoRA adapter. */
export function isLora(path: string): boolean {
  return path.includes(".lora.");
}

/** Merges adapters into the weights, W + (alpha / rank) · up · down, and drops them. */
export function mergeLora(parameters: Parameters, { rank, alpha }: LoraConfig): Map<string, TensorData<"float32">> {
  const merged = new Map<string, TensorData<"float32">>();
  for (const [path, value] of parameters) {
    if (isLora(path)) continue;
    const of = path.replace(/weight$/, "lora");
    const [down, up] = [parameters.get(`${of}.down`), parameters.get(`${of}.up`)];
    merged.set(path, down && up ? addProduct(value, down, up, alpha / rank) : value);
  }
  return merged;
}

/**
 * Merges the adapters that `saveLora` wrote to a folder into a model's parameters. The changed matrices are then in memory.
 *
 * @param model - name of the model, for messages.
 * @throws {ClipError} `CLIP_FILE` if a file is missing; `CLIP_CONFIG` if `lora.json` is invalid; `CLIP_CHECKPOINT` if the adapters
 *   do not fit the model, with all differences.
 */
export async function withLora(parameters: StoredParameters, folder: string, model: string): Promise<StoredParameters> {
  const config = await readJson(loraConfigSchema, join(folder, loraFiles.config));
  const file = join(folder, loraFiles.weights);
  const { tensors } = await openSafetensors(file);
  const problems: string[] = [];
  const changed = new Map<string, TensorData<"float32">>();
  for (const [name, tensor] of tensors) {
    const [, of, part] = /^(.*)\.lora\.(down|up)$/.exec(name) ?? [];
    const [out, input] = parameters.get(`${of}.weight`)?.shape ?? [];
    const wanted = part === "down" ? [config.rank, input!] : [out!, config.rank];
    if (of === undefined || input === undefined) problems.push(`${name}: the model has no such matrix`);
    else if (!tensors.has(`${of}.lora.${part === "down" ? "up" : "down"}`))
      problems.push(`${name}: its other half is missing`);
    else if (!sameShape(tensor.shape, wanted))
      problems.push(
        `${name}: the model and the rank need [${wanted.join(", ")}], the file has [${tensor.shape.join(", ")}]`,
      );
    else changed.set(name, await readFloats(tensor));
  }
  if (problems.length > 0 || tensors.size === 0) {
    const lines = [`${file} does not fit ${model}; was it trained on another model?`, ...listed(problems)];
    throw new ClipError("CLIP_CHECKPOINT", lines.join("\n  "));
  }
  for (const name of [...changed.keys()].filter((name) => name.endsWith(".down"))) {
    const path = name.replace(/lora\.down$/, "weight");
    changed.set(path, await readParameter(parameters.get(path)!));
  }
  return new Map([...parameters, ...mergeLora(changed, config)]);
}

/** W + scale · up · down, in double precision. */
function addProduct(
  { data: weight, shape }: TensorData<"float32">,
  { data: down }: TensorData<"float32">,
  { data: up }: TensorData<"float32">,
  scale: number,
): TensorData<"float32"> {
  const [out, input] = shape as readonly [number, number];
  const rank = down.length / input;
  const merged = new Float32Array(weight.length);
  for (let i = 0; i < out; i++) {
    const row = Float64Array.from(weight.subarray(i * input, (i + 1) * input));
    for (let r = 0; r < rank; r++) {
      const share = scale * up[i * rank + r]!;
      for (let j = 0; j < input; j++) row[j]! += share * down[r * input + j]!;
    }
    merged.set(row, i * input);
  }
  return float32(merged, shape);
}
