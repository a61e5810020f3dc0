import { rmSync } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ClipError, problemOf } from "./errors.ts";

/** Counter that keeps temporary files of one process apart. */
let written = 0;
/** Temporary files of unfinished writes. */
const openTemporaries = new Set<string>();

/** Progress of writing a file. */
export interface WriteProgress {
  readonly path: string;
  /** Bytes on disk so far. */
  readonly written: number;
  readonly total: number;
}

export interface WatchOptions {
  readonly onProgress?: ((progress: WriteProgress) => void) | undefined;
  /** Stops between two chunks; the target is then unchanged. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Writes a file atomically: a reader finds the old content or the new, never a part. The new content goes to a
 * temporary file, is synced, and replaces the target by a rename; syncing the folder makes the rename survive a power
 * cut.
 *
 * @throws {ClipError} `CLIP_FILE` if the disk is full or the folder is not writable; the target is unchanged.
 */
export async function writeFileAtomic(
  path: string,
  chunks: Iterable<Uint8Array | string> | AsyncIterable<Uint8Array | string>,
  { onProgress, signal, total = 0 }: WatchOptions & { readonly total?: number } = {},
): Promise<void> {
  const temporary = `${path}.${process.pid}-${written++}.tmp`;
  openTemporaries.add(temporary);
  let outcome = "any previous content is kept";
  try {
    const file = await open(temporary, "w");
    try {
      let bytes = 0;
      for await (const chunk of chunks) {
        signal?.throwIfAborted();
        await file.appendFile(chunk);
        bytes += chunk.length;
        onProgress?.({ path, written: bytes, total });
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    outcome = "the new content is in place, but a power cut may undo it";
    await syncFolder(dirname(path));
  } catch (cause) {
    await rm(temporary, { force: true });
    // Errors of the source of the chunks are not the disk's.
    if (cause instanceof ClipError || signal?.aborted) throw cause;
    throw cannotWrite(path, cause, outcome);
  } finally {
    openTemporaries.delete(temporary);
  }
}

/** Syncs a folder, except on Windows, which refuses that and whose file systems log renames. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const folder = await open(path, "r");
  await folder.sync().finally(() => folder.close());
}

/** Removes temporary files of unfinished writes, for a process that is about to exit. */
export function removeOpenTemporaries(): void {
  for (const path of openTemporaries) rmSync(path, { force: true });
}

/**
 * Creates a folder and its parents unless they exist.
 *
 * @param wayOut - advice in the error message.
 * @throws {ClipError} `CLIP_FILE` if that fails.
 */
export async function makeFolder(path: string, wayOut = "choose another place"): Promise<void> {
  await makeWithParents(path).catch((cause: unknown) => {
    throw new ClipError("CLIP_FILE", `cannot make the folder ${path}: ${problemOf(cause)}; ${wayOut}`, { cause });
  });
}

/** Like `mkdir` with `recursive`, which misreports a read-only disk as a missing folder. */
async function makeWithParents(path: string): Promise<void> {
  const parent = dirname(path);
  try {
    await mkdir(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT" && parent !== path) {
      await makeWithParents(parent);
      return makeWithParents(path);
    }
    const found = await stat(path).catch(() => undefined);
    if (!found?.isDirectory()) throw cause;
  }
}

/** Removes temporary files that a process killed in {@link writeFileAtomic} left in a folder. */
export async function removeTemporaries(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names) if (/\.\d+-\d+\.tmp$/.test(name)) await rm(join(folder, name), { force: true });
}

/** @param outcome - state of the file after the failure. */
export function cannotWrite(path: string, cause: unknown, outcome: string): ClipError {
  return new ClipError("CLIP_FILE", `cannot write ${path}: ${problemOf(cause)}; ${outcome}`, { cause });
}
