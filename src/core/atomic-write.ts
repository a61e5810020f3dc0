import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { ClipError } from "./errors.ts";

/**
 * Writes a file so that a reader finds the old content or the new, never a part: to a temporary file beside it, synced
 * to the disk, renamed over the target, and the folder synced so that the rename survives a power cut.
 *
 * @throws {ClipError} `CLIP_FILE` if the disk is full or the folder cannot be written; the target is as it was.
 */
export async function writeFileAtomic(path: string, chunks: Iterable<Uint8Array | string>): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    const file = await open(temporary, "w");
    try {
      for (const chunk of chunks) await file.appendFile(chunk);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    const folder = await open(dirname(path), "r");
    await folder.sync().finally(() => folder.close());
  } catch (cause) {
    await rm(temporary, { force: true });
    const { code } = cause as NodeJS.ErrnoException;
    const wayOut = code === "ENOSPC" ? "the disk is full: free some space and try again" : (cause as Error).message;
    throw new ClipError("CLIP_FILE", `cannot write ${path}: ${wayOut}; what stood there before is unchanged`, {
      cause,
    });
  }
}
