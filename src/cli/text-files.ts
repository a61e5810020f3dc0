import { ClipError } from "../core/errors.ts";
import { readText } from "../core/files.ts";
import { maxConfigBytes } from "../core/limits.ts";
import { splitLines } from "../core/text-file.ts";
import type { CliIo } from "./io.ts";

/** Names of the standard input. */
export const standardInput: ReadonlySet<string> = new Set(["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"]);

/**
 * A text file that the command line names; `-` is the standard input, and a pipe such as `<(command)` is read to its end.
 *
 * @throws {ClipError} `CLIP_FILE` if it cannot be read, is not UTF-8 or has more than `maxBytes`.
 */
export async function readNamedText(file: string, io: CliIo, maxBytes = maxConfigBytes): Promise<string> {
  return standardInput.has(file) ? io.readInput() : readText(file, maxBytes, { signal: io.signal });
}

/**
 * Its lines, without empty ones.
 *
 * @throws {ClipError} as {@link readNamedText}; `CLIP_USAGE` if it has none.
 */
export async function readLines(file: string, io: CliIo, maxBytes?: number): Promise<string[]> {
  const lines = splitLines(await readNamedText(file, io, maxBytes)).filter((line) => line.trim() !== "");
  if (lines.length === 0) throw new ClipError("CLIP_USAGE", `${file} is empty; write one entry per line`);
  return lines;
}
