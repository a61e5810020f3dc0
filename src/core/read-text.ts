import { open } from "node:fs/promises";
import { ClipError, problemOf } from "./errors.ts";

/** The most that a configuration or an index of weights may have; the largest published have less than a tenth. */
export const maxConfigBytes = 16 * 2 ** 20;
/** The most that a vocabulary or a list of words may have: Gemma's tokenizer.json has 34 MB. */
export const maxVocabularyBytes = 256 * 2 ** 20;

const chunkBytes = 2 ** 20;

/**
 * The text of a file that is read as a whole, without the mark that some editors begin UTF-8 with.
 *
 * @throws {ClipError} `CLIP_FILE` if it cannot be read, or has more than `maxBytes`: that much is never in memory.
 */
export async function readText(path: string, maxBytes: number): Promise<string> {
  try {
    const file = await open(path, "r");
    try {
      const { size } = await file.stat();
      const chunks: Buffer[] = [];
      // A device or a pipe has no size, so what comes is counted.
      for (let length = size > maxBytes ? size : 0; ;) {
        if (length > maxBytes) throw tooLarge(path, maxBytes);
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(chunkBytes), 0, chunkBytes, null);
        if (bytesRead === 0) break;
        chunks.push(buffer.subarray(0, bytesRead));
        length += bytesRead;
      }
      return new TextDecoder().decode(Buffer.concat(chunks));
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (cause instanceof ClipError) throw cause;
    throw new ClipError("CLIP_FILE", `cannot read ${path}: ${problemOf(cause)}`, { cause });
  }
}

function tooLarge(path: string, maxBytes: number): ClipError {
  const most = `${maxBytes / 2 ** 20} MiB`;
  return new ClipError(
    "CLIP_FILE",
    `${path} has more than ${most}, the most that such a file may have; is it the right one?`,
  );
}
