import { ClipError } from "../../core/errors.ts";
import { readText } from "../../core/files.ts";
import { maxConfigBytes } from "../../core/limits.ts";
import { splitLines } from "../../core/text-file.ts";
import { maxLineLength } from "../../inputs/data/text.ts";
import type { CliIo } from "./io.ts";

/** Names of the standard input. */
export const standardInput: ReadonlySet<string> = new Set(["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"]);

/**
 * Reads a text file of the command line; `-` is the standard input, and a pipe such as `<(command)` is read to its end.
 *
 * @throws {ClipError} `CLIP_FILE` if it cannot be read, is not UTF-8, or has more than `maxBytes` or a line that is too long.
 */
export async function readNamedText(file: string, io: CliIo, maxBytes = maxConfigBytes): Promise<string> {
  const text = await (standardInput.has(file) ? io.readInput() : readText(file, maxBytes, { signal: io.signal }));
  assertShort(splitLines(text), file);
  return text;
}

/**
 * Refuses lines that are too long for a label or a text: the file is probably of another kind, and each MiB would take seconds.
 *
 * @throws {ClipError} `CLIP_FILE` if a line has more than {@link maxLineLength} characters.
 */
export function assertShort(lines: readonly string[], file: string): void {
  const long = lines.findIndex(({ length }) => length > maxLineLength);
  if (long < 0) return;
  const problem = `line ${long + 1} is longer than ${maxLineLength} characters`;
  throw new ClipError("CLIP_FILE", `${file}, ${problem}; is it the right file, with one entry per line?`);
}

/**
 * Reads the lines of a text file, without blank ones.
 *
 * @throws {ClipError} as {@link readNamedText}; `CLIP_USAGE` if there are none.
 */
export async function readLines(file: string, io: CliIo, maxBytes?: number): Promise<string[]> {
  const lines = splitLines(await readNamedText(file, io, maxBytes)).filter((line) => line.trim() !== "");
  if (lines.length === 0) throw new ClipError("CLIP_USAGE", `${file} is empty; write one entry per line`);
  return lines;
}
