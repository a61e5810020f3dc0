import type { TensorData } from "../core/tensor-data.ts";
import { ClipError } from "../core/errors.ts";
import { layouts } from "./names/layouts.ts";
import { type WriteOptions, writeSafetensors } from "./safetensors.ts";

/** How {@link saveParameters} writes. */
export interface SaveOptions extends WriteOptions {
  /** Whose tensor names the file gets; ours by default. OpenAI's are those that open_clip and others read. */
  readonly names?: "ours" | "openai";
}

/**
 * Writes the parameters of a model to a safetensors file, whole or not at all.
 *
 * @param parameters - by our paths.
 * @throws {ClipError} `CLIP_FILE` if it cannot be written, `CLIP_CHECKPOINT` if OpenAI's layout has no place for a parameter.
 */
export async function saveParameters(
  path: string,
  parameters: ReadonlyMap<string, TensorData<"float32">>,
  { names = "ours", ...options }: SaveOptions = {},
): Promise<void> {
  await writeSafetensors(path, names === "ours" ? parameters : inOpenAiNames(parameters), options);
}

function inOpenAiNames(parameters: ReadonlyMap<string, TensorData<"float32">>): Map<string, TensorData> {
  const layout = parameters.has("vision.projection") ? layouts.openAiVit : layouts.openAiResNet;
  const renamed = new Map<string, TensorData>();
  for (const [path, tensor] of parameters) {
    const name = layout.fromOurs(path)[0];
    if (name === undefined)
      throw new ClipError("CLIP_CHECKPOINT", `OpenAI's layout has no place for ${path}; save it under our names`);
    renamed.set(name, tensor);
    // PyTorch's strict loading asks for the counter that belongs to the statistics.
    if (path.endsWith(".runningVar")) {
      const counter = name.replace("running_var", "num_batches_tracked");
      renamed.set(counter, { dtype: "int64", shape: [], data: new BigInt64Array(1) });
    }
  }
  return renamed;
}
