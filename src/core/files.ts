import { constants, type Stats } from "node:fs";
import { type FileHandle, open, realpath, stat } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { ClipError } from "./errors.ts";
import { cannotRead, ifThere } from "./if-there.ts";
import { decodeText } from "./text-file.ts";

/** Of the machine's own kind; in a page, of addresses. */
export { basename, dirname, join } from "node:path";

/** Texts are read in pieces of so many bytes. */
const chunkBytes = 2 ** 20;

/**
 * Bytes of a file; undefined if there is none.
 *
 * @throws {ClipError} `CLIP_FILE` as {@link ifThere}.
 */
export async function sizeOf(path: string): Promise<number | undefined> {
  return (await ifThere(path, stat(path)))?.size;
}

/**
 * Whether there is such a file or folder.
 *
 * @throws {ClipError} `CLIP_FILE` as {@link ifThere}.
 */
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

/** How long a pipe may have nobody who writes into it, and how often it is looked at, in milliseconds. */
const [writerPatienceMs, pipePauseMs] = [2000, 20];

/**
 * The text of a file that is read as a whole, without the mark that some editors begin UTF-8 with. A pipe is read to its end, as a
 * shell's `<(command)` is one; no thread waits for it, so that the process can end.
 *
 * @throws {ClipError} `CLIP_FILE` if it cannot be read, is not UTF-8, is a pipe into which nobody writes, or has more than
 *   `maxBytes`: that much is never in memory.
 */
export async function readText(
  path: string,
  maxBytes: number,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<string> {
  try {
    const found = await stat(path);
    if (!found.isFIFO()) refuseOthers(path, found);
    if (found.size > maxBytes) throw tooLarge(path, maxBytes);
    // Else opening a pipe waits for its other end, and reading for what it brings. Files are read as ever; Windows has no such flag.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const chunks: Buffer[] = [];
      let length = 0;
      for await (const chunk of chunksOf(file, path, found.isFIFO(), signal)) {
        chunks.push(chunk);
        // A device or a pipe has no size, so what comes is counted.
        if ((length += chunk.length) > maxBytes) throw tooLarge(path, maxBytes);
      }
      return decodeText(Buffer.concat(chunks), path);
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (cause instanceof ClipError || signal?.aborted) throw cause;
    return cannotRead(path, cause as Error);
  }
}

/** All of a file, or what comes through a pipe until its writers have closed it. */
async function* chunksOf(
  file: FileHandle,
  path: string,
  isPipe: boolean,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  let hasWriter = !isPipe;
  const patience = performance.now() + writerPatienceMs;
  for (;;) {
    signal?.throwIfAborted();
    const chunk = await readChunk(file);
    if (chunk?.length === 0 && hasWriter) return;
    if (chunk?.length !== 0) hasWriter = true;
    else if (performance.now() > patience)
      throw new ClipError("CLIP_FILE", `cannot read ${path}: it is a pipe into which nobody writes`);
    if (chunk?.length) yield chunk;
    else await setTimeout(pipePauseMs);
  }
}

/** What comes next in a file, empty at its end; undefined if a pipe or terminal has nothing at the moment. */
async function readChunk(file: FileHandle): Promise<Buffer | undefined> {
  try {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(chunkBytes), 0, chunkBytes, null);
    return buffer.subarray(0, bytesRead);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EAGAIN") return undefined;
    throw cause;
  }
}

/**
 * Exactly these bytes of a file, in a buffer of their own.
 *
 * @throws {ClipError} `CLIP_FILE` if it cannot be read or is no file but a pipe or a device, `CLIP_CHECKPOINT` if it ends
 *   before.
 */
export async function readRange(path: string, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const handle = await openFile(path);
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

/**
 * A file, open to be read. Opening a pipe waits for somebody to write into it, and no signal ends that, so anything but a
 * file is refused before.
 */
async function openFile(path: string): Promise<FileHandle> {
  try {
    refuseOthers(path, await stat(path));
    return await open(path, "r");
  } catch (cause) {
    throw cause instanceof ClipError ? cause : cannotRead(path, cause as Error);
  }
}

/** Refuses what has no end, or would wait for another process. */
function refuseOthers(path: string, found: Stats): void {
  if (found.isFile() || found.isDirectory()) return;
  const kind = found.isFIFO() ? "a named pipe" : found.isSocket() ? "a socket" : "a device";
  throw new ClipError("CLIP_FILE", `${path} is ${kind}, not a file`);
}

/** The `CLIP_FILE` of a text that is longer than it may be. */
function tooLarge(path: string, maxBytes: number): ClipError {
  const most = `${maxBytes / 2 ** 20} MiB`;
  return new ClipError(
    "CLIP_FILE",
    `${path} has more than ${most}, the most that such a file may have; is it the right one?`,
  );
}
