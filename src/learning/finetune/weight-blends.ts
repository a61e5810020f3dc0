import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { readParameters } from "../../model/checkpoints/load.ts";
import { removeTemporaries } from "../../core/atomic-write.ts";
import { blend } from "../../model/pretrained/blend.ts";
import { ClipEncoder } from "../../model/embedding/encoder.ts";
import { readModel, readTokenizer, type StoredModel } from "../../model/pretrained/model-folder.ts";
import { saveModel } from "../../model/pretrained/save-model.ts";
import type { Parameters } from "../../model/pretrained/lora.ts";
import { runFiles } from "../train/run-folder.ts";

/** File names in a fine-tuning's folder. */
export const finetuneFiles = {
  record: "finetune.json",
  /** The chosen blend. */
  model: "model",
  /** The training run, with the tuned model in its `model/`. */
  tuned: "tuned",
  /** The blend being measured. */
  measured: "measured",
  report: "report.html",
} as const;

interface BlenderParts {
  readonly original: StoredModel;
  readonly tuned: StoredModel;
  readonly parameters: readonly [original: Parameters, tuned: Parameters];
  readonly out: string;
  readonly dtype: "F32" | "F16";
}

/** Writes blends of original and tuned weights as model folders. */
export class Blender {
  /** Digest of the original weights. */
  readonly fingerprint: string;
  readonly #parts: BlenderParts;

  private constructor(parts: BlenderParts) {
    this.#parts = parts;
    this.fingerprint = weightsDigest(parts.parameters[0]);
  }

  static async open(original: StoredModel, out: string, dtype: "F32" | "F16"): Promise<Blender> {
    for (const folder of [out, join(out, finetuneFiles.model)]) await removeTemporaries(folder);
    const tuned = await readModel(join(out, finetuneFiles.tuned, runFiles.model));
    const parameters = [await readParameters(original.parameters), await readParameters(tuned.parameters)] as const;
    return new Blender({ original, tuned, parameters, out, dtype });
  }

  /** An encoder of a blend that was written and read back, and so equals the saved model. */
  async encoder(alpha: number, signal: AbortSignal | undefined): Promise<ClipEncoder> {
    const folder = join(this.#parts.out, finetuneFiles.measured);
    await this.#write(folder, alpha);
    return new ClipEncoder(await readModel(folder), { signal });
  }

  async save(alpha: number): Promise<void> {
    await this.#write(join(this.#parts.out, finetuneFiles.model), alpha);
  }

  async close(): Promise<void> {
    await rm(join(this.#parts.out, finetuneFiles.measured), { recursive: true, force: true });
  }

  async #write(folder: string, alpha: number): Promise<void> {
    const { original, tuned, parameters, dtype } = this.#parts;
    const tokenizer = await readTokenizer(tuned);
    // The original has not seen the new captions.
    const { words } = alpha === 0 ? original : tuned;
    await saveModel(folder, {
      ...{ config: tuned.config, preprocess: tuned.preprocess, tokenizer, dtype },
      parameters: blend(...parameters, alpha),
      ...(words && { words: [...words] }),
    });
  }
}

/** SHA-256 of all values, by path. */
function weightsDigest(parameters: Parameters): string {
  const hash = createHash("sha256");
  for (const [path, { data }] of parameters)
    hash.update(path).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return hash.digest("hex");
}
