import { rmSync } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ClipError, problemOf } from "./errors.ts";

/** So that two writes of one process to one file do not meet. */
let written = 0;
/** Temporary files of writes that have not ended. */
const openTemporaries = new Set<string>();

/** How far a file is written. */
export interface WriteProgress {
  readonly path: string;
  /** Bytes on disk so far. */
  readonly written: number;
  /** Of so many. */
  readonly total: number;
}

/** For files that take their time. */
export interface WatchOptions {
  readonly onProgress?: ((progress: WriteProgress) => void) | undefined;
  /** Stops between two pieces; the target is then as it was. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Writes a file so that a reader finds the old content or the new, never a part: to a temporary file beside it, synced
 * to the disk, renamed over the target, and the folder synced so that the rename survives a power cut.
 *
 * @throws {ClipError} `CLIP_FILE` if the disk is full or the folder cannot be written; the target is as it was.
 */
export async function writeFileAtomic(
  path: string,
  chunks: Iterable<Uint8Array | string> | AsyncIterable<Uint8Array | string>,
  { onProgress, signal, total = 0 }: WatchOptions & { readonly total?: number } = {},
): Promise<void> {
  const temporary = `${path}.${process.pid}-${written++}.tmp`;
  openTemporaries.add(temporary);
  let outcome = "what stood there before is unchanged";
  try {
    const file = await open(temporary, "w");
    try {
      let bytes = 0;
      for await (const chunk of chunks) {
        signal?.throwIfAborted();
        await file.appendFile(chunk);
        onProgress?.({ path, written: (bytes += chunk.length), total });
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    outcome = "the new content is there, but a power cut may undo it";
    await syncFolder(dirname(path));
  } catch (cause) {
    await rm(temporary, { force: true });
    // What could not be made is no fault of the disk.
    if (cause instanceof ClipError || signal?.aborted) throw cause;
    throw cannotWrite(path, cause, outcome);
  } finally {
    openTemporaries.delete(temporary);
  }
}

/** Windows refuses to sync a folder, and needs no such thing: its file systems log a rename. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const folder = await open(path, "r");
  await folder.sync().finally(() => folder.close());
}

/** Removes what unfinished writes have written, for a process that ends in the middle of them. */
export function removeOpenTemporaries(): void {
  for (const path of openTemporaries) rmSync(path, { force: true });
}

/**
 * Makes a folder, and those it lies in, unless it is there.
 *
 * @param wayOut - what to do if it cannot be.
 * @throws {ClipError} `CLIP_FILE` if it cannot be.
 */
export async function makeFolder(path: string, wayOut = "name another place"): Promise<void> {
  await makeWithParents(path).catch((cause: unknown) => {
    throw new ClipError("CLIP_FILE", `cannot make the folder ${path}: ${problemOf(cause)}; ${wayOut}`, {
      cause,
    });
  });
}

/** As `mkdir` with `recursive` does it, which says of a read-only disk that the folder does not exist. */
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

/** Removes what a process that was killed in {@link writeFileAtomic} left in a folder. */
export async function removeTemporaries(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names) if (/\.\d+-\d+\.tmp$/.test(name)) await rm(join(folder, name), { force: true });
}

/** @param outcome - what became of the file. */
export function cannotWrite(path: string, cause: unknown, outcome: string): ClipError {
  return new ClipError("CLIP_FILE", `cannot write ${path}: ${problemOf(cause)}; ${outcome}`, { cause });
}
