import { ClipError, problemOf } from "./errors.ts";

/**
 * Result of reading a file or folder; undefined if it does not exist.
 *
 * @throws {ClipError} `CLIP_FILE` if it may exist but cannot be read: no permission, a loop of links, a failing disk.
 */
export async function undefinedIfMissing<Result>(path: string, reading: Promise<Result>): Promise<Result | undefined> {
  return reading.catch((cause: NodeJS.ErrnoException) =>
    cause.code === "ENOENT" || cause.code === "ENOTDIR" ? undefined : cannotRead(path, cause),
  );
}

/** Throws `CLIP_FILE` for a file that cannot be opened or read. */
export function cannotRead(path: string, cause: Error): never {
  throw new ClipError("CLIP_FILE", `cannot read ${path}: ${problemOf(cause)}`, { cause });
}
