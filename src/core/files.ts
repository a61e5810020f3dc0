import { constants, type Stats } from "node:fs";
import { type FileHandle, open, realpath, stat } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { ClipError } from "./errors.ts";
import { cannotRead, undefinedIfMissing } from "./missing-file.ts";
import { decodeText } from "./text-file.ts";

/** For the platform's paths; in a page, for addresses. */
export { basename, dirname, join } from "node:path";

/** Bytes per read of a text. */
const chunkBytes = 2 ** 20;

/**
 * Size of a file in bytes; undefined if it does not exist.
 *
 * @throws {ClipError} `CLIP_FILE` as {@link undefinedIfMissing}.
 */
export async function fileSize(path: string): Promise<number | undefined> {
  return (await undefinedIfMissing(path, stat(path)))?.size;
}

/**
 * True if the file or folder exists.
 *
 * @throws {ClipError} `CLIP_FILE` as {@link undefinedIfMissing}.
 */
export async function exists(path: string): Promise<boolean> {
  return (await fileSize(path)) !== undefined;
}

/**
 * True for a folder, false for a file.
 *
 * @throws the system's error if neither exists.
 */
export async function isFolder(path: string): Promise<boolean> {
  return (await stat(path)).isDirectory();
}

export async function realFile(path: string): Promise<string> {
  return realpath(path).catch((cause: Error) => cannotRead(path, cause));
}

/** Time allowed for a pipe's writer to appear, and interval between polls, in milliseconds. */
const [writerPatienceMs, pipePauseMs] = [2000, 20];

/**
 * Reads a whole text file, without its byte order mark. A pipe, such as a shell's `<(command)`, is read to its end by
 * polling, since a blocked thread would keep the process alive.
 *
 * @throws {ClipError} `CLIP_FILE` if it cannot be read, is not UTF-8, is a pipe that nothing writes to, or exceeds
 *   `maxBytes`, which bounds the memory used.
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
    // Without O_NONBLOCK, opening a pipe and reading from it would block. No effect on files; undefined on Windows.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const chunks: Buffer[] = [];
      let length = 0;
      for await (const chunk of chunksOf(file, path, found.isFIFO(), signal)) {
        chunks.push(chunk);
        // Devices and pipes have no size, so bytes are counted.
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

/** Chunks of a file, or of a pipe until its writers close it. */
async function* chunksOf(file: FileHandle, path: string, isPipe: boolean, signal: AbortSignal | undefined) {
  let hasWriter = !isPipe;
  const patience = performance.now() + writerPatienceMs;
  for (;;) {
    signal?.throwIfAborted();
    const chunk = await readChunk(file);
    if (chunk?.length === 0 && hasWriter) return;
    if (chunk?.length !== 0) hasWriter = true;
    else if (performance.now() > patience)
      throw new ClipError("CLIP_FILE", `cannot read ${path}: nothing writes to this pipe`);
    if (chunk?.length) yield chunk;
    else await setTimeout(pipePauseMs);
  }
}

/** The next chunk, empty at the end of the file; undefined if a pipe or terminal has no data yet. */
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
 * Reads exactly these bytes of a file into a new buffer.
 *
 * @throws {ClipError} `CLIP_FILE` if it cannot be read or is a pipe or a device, `CLIP_CHECKPOINT` if it is too short.
 */
export async function readRange(path: string, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const handle = await openFile(path);
  try {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const { bytesRead } = await handle.read(bytes, done, Math.min(length - done, 2 ** 30), offset + done);
      if (bytesRead === 0)
        throw new ClipError(
          "CLIP_CHECKPOINT",
          `${path} ended at byte ${offset + done}; was it truncated while being read?`,
        );
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
 * Opens a file for reading. Anything else is refused first: opening a pipe blocks until it has a writer, and no signal
 * ends that.
 */
async function openFile(path: string): Promise<FileHandle> {
  try {
    refuseOthers(path, await stat(path));
    return await open(path, "r");
  } catch (cause) {
    throw cause instanceof ClipError ? cause : cannotRead(path, cause as Error);
  }
}

/** Refuses pipes, sockets and devices, which may block or never end. */
function refuseOthers(path: string, found: Stats): void {
  if (found.isFile() || found.isDirectory()) return;
  const kind = found.isFIFO() ? "a named pipe" : found.isSocket() ? "a socket" : "a device";
  throw new ClipError("CLIP_FILE", `${path} is ${kind}, not a file`);
}

function tooLarge(path: string, maxBytes: number): ClipError {
  const most = `${maxBytes / 2 ** 20} MiB`;
  return new ClipError("CLIP_FILE", `${path} has more than ${most}, the limit for such a file; is it the right one?`);
}
