import { open, readFile, realpath, stat } from "node:fs/promises";
import { ClipError } from "./errors.ts";

/** Of the machine's own kind; in a page, of addresses. */
export { basename, dirname, join } from "node:path";

/** Bytes of a file; undefined if there is none. */
export async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ size }) => size,
    () => undefined,
  );
}

/** Whether there is such a file or folder. */
export async function exists(path: string): Promise<boolean> {
  return (await sizeOf(path)) !== undefined;
}

/**
 * Whether it is a folder rather than a file.
 *
 * @throws whatever the system says if there is neither.
 */
export async function isFolder(path: string): Promise<boolean> {
  return (await stat(path)).isDirectory();
}

/** The file itself where the path is a link to it. */
export async function realFile(path: string): Promise<string> {
  return realpath(path).catch((cause: Error) => cannotRead(path, cause));
}

/**
 * The text of a file.
 *
 * @throws {ClipError} `CLIP_FILE` if it cannot be read.
 */
export async function readText(path: string): Promise<string> {
  return readFile(path, "utf8").catch((cause: Error) => cannotRead(path, cause));
}

/**
 * Exactly these bytes of a file, in a buffer of their own.
 *
 * @throws {ClipError} `CLIP_FILE` if it cannot be read, `CLIP_CHECKPOINT` if it ends before.
 */
export async function readRange(path: string, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const handle = await open(path, "r").catch((cause: Error) => cannotRead(path, cause));
  try {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const { bytesRead } = await handle.read(bytes, done, Math.min(length - done, 2 ** 30), offset + done);
      if (bytesRead === 0)
        throw new ClipError("CLIP_CHECKPOINT", `${path} ended at byte ${offset + done}; was it cut while it was read?`);
      done += bytesRead;
    }
    return bytes;
  } catch (cause) {
    throw cause instanceof ClipError ? cause : cannotRead(path, cause as Error);
  } finally {
    await handle.close();
  }
}

/** Throws the `CLIP_FILE` of a file that cannot be opened or read. */
function cannotRead(path: string, cause: Error): never {
  throw new ClipError("CLIP_FILE", `cannot read ${path}: ${cause.message}`, { cause });
}
