import { ClipError, problemOf } from "./errors.ts";

/**
 * What was read of a file or folder; undefined if there is none.
 *
 * @throws {ClipError} `CLIP_FILE` if there may be one and the system does not say: no permission, a loop of links, a failing disk.
 */
export async function ifThere<Result>(path: string, reading: Promise<Result>): Promise<Result | undefined> {
  return reading.catch((cause: NodeJS.ErrnoException) =>
    cause.code === "ENOENT" || cause.code === "ENOTDIR" ? undefined : cannotRead(path, cause),
  );
}

/** Throws the `CLIP_FILE` of a file that cannot be opened or read. */
export function cannotRead(path: string, cause: Error): never {
  throw new ClipError("CLIP_FILE", `cannot read ${path}: ${problemOf(cause)}`, { cause });
}
