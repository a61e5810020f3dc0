import { writeSafetensors } from "../checkpoints/write-safetensors.ts";
import { makeFolder, writeFileAtomic } from "../../core/atomic-write.ts";
import { join } from "../../core/files.ts";
import type { LoraConfig } from "../towers/config.ts";
import { isLora, loraFiles, type Parameters } from "./lora.ts";

/**
 * Writes only the LoRA adapters of a model, for `readModel`.
 *
 * @param parameters - by our paths; those other than adapters are ignored.
 * @throws {ClipError} `CLIP_FILE` if the disk is full or the folder cannot be written.
 */
export async function saveLora(folder: string, config: LoraConfig, parameters: Parameters): Promise<void> {
  await makeFolder(folder);
  await writeFileAtomic(join(folder, loraFiles.config), [`${JSON.stringify(config, null, 2)}\n`]);
  const changes = new Map([...parameters].filter(([path]) => isLora(path)));
  await writeSafetensors(join(folder, loraFiles.weights), changes);
}
