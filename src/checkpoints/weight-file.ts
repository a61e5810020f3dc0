import { open } from "node:fs/promises";
import { openSafetensors } from "./safetensors.ts";
import { cannotRead, type StoredTensor } from "./stored-tensor.ts";
import { openTorchArchive } from "./torch-archive.ts";

/** What a file of weights holds, whatever wrote it. */
export interface WeightFile {
  readonly container: "safetensors" | "torchScript" | "stateDict";
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

/**
 * Finds the tensors of a file: safetensors, or what PyTorch writes; the first bytes tell which, not the name.
 *
 * @throws {ClipError} `CLIP_FILE` if it cannot be read, `CLIP_CHECKPOINT` if it is damaged or of no kind that we know.
 */
export async function openWeightFile(path: string): Promise<WeightFile> {
  const handle = await open(path, "r").catch((cause: Error) => cannotRead(path, cause));
  const head = Buffer.alloc(8);
  try {
    await handle.read(head, 0, 8, 0);
  } finally {
    await handle.close();
  }
  // A zip archive begins with "PK", a pickle with 0x80. So may the length that safetensors begins with, but it has 64 bits,
  // of which the upper half is then zero.
  const torch = head.readUInt32LE(4) !== 0 && (head.toString("latin1", 0, 2) === "PK" || head[0] === 0x80);
  if (torch) return openTorchArchive(path);
  const { tensors } = await openSafetensors(path);
  return { container: "safetensors", tensors };
}
