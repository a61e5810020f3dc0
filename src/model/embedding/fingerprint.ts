import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { readParameter } from "../checkpoints/load.ts";
import { readTokenizer } from "../pretrained/model-folder.ts";
import type { ClipEncoder } from "./encoder.ts";

/**
 * Equal for models that give the same vectors: SHA-256 of weights, architecture, preprocessing and vocabulary. Reads all weights.
 */
export async function modelChecksum({ stored, dtype }: ClipEncoder): Promise<string> {
  const { config, preprocess, parameters } = stored;
  const { source } = await readTokenizer(stored);
  const hash = createHash("sha256").update(JSON.stringify({ config, preprocess, dtype, source }));
  for (const [path, parameter] of parameters) {
    const { data } = "parts" in parameter ? await readParameter(parameter) : parameter;
    hash.update(path).update(data);
  }
  return hash.digest("hex");
}

/** Files of a model with their sizes and times: while they are the same, so is {@link modelChecksum}. */
export async function modelFilesState({ stored, dtype }: ClipEncoder): Promise<string> {
  const files = new Set<string>();
  for (const parameter of stored.parameters.values())
    if ("parts" in parameter) for (const { file } of parameter.parts) files.add(file);
  const states = await Promise.all(
    Array.from(files, async (file) => {
      const { size, mtimeMs } = await stat(file);
      return [file, size, mtimeMs];
    }),
  );
  const { config, preprocess, vocabulary } = stored;
  return JSON.stringify({ states, config, preprocess, vocabulary, dtype });
}
