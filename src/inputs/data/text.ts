import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { ClipError, problemOf } from "../../core/errors.ts";
import { encodingProblem, notUtf8, splitLines } from "../../core/text-file.ts";

/** In characters, so that a file without line breaks does not fill the memory. */
export const maxLineLength = 1 << 20;

/**
 * Streams the text of a file, without its byte order mark.
 *
 * @throws {ClipError} `CLIP_DATA` if it cannot be read, is a pipe or device, or is not UTF-8 (with the line).
 */
export async function* streamText(path: string): AsyncGenerator<string> {
  await assertFile(path);
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let isFirst = true;
  try {
    for await (const chunk of createReadStream(path)) {
      const bytes = chunk as Buffer;
      // Zero bytes are valid UTF-8 but a sign of UTF-16.
      const problem = bytes.includes(0) || isFirst ? encodingProblem(bytes, isFirst ? 1 : 2) : undefined;
      // A character may span two chunks, so problems within a line are found below.
      if (problem?.startsWith(" is ")) throw new ClipError("CLIP_DATA", `${path}${problem}`);
      isFirst = false;
      yield decoder.decode(bytes, { stream: true });
    }
    yield decoder.decode();
  } catch (cause) {
    if (cause instanceof ClipError) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== "ERR_ENCODING_INVALID_ENCODED_DATA")
      throw new ClipError("CLIP_DATA", `${path} cannot be read: ${problemOf(cause)}`, { cause });
    throw new ClipError("CLIP_DATA", `${path}${await findOtherEncoding(path)}`, { cause });
  }
}

/**
 * Refuses pipes and devices before they are opened: they may block or never end.
 *
 * @throws {ClipError} `CLIP_DATA`.
 */
export async function assertFile(path: string): Promise<void> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new ClipError("CLIP_DATA", `${path} cannot be read: ${problemOf(cause)}`, { cause });
  });
  if (found.isFile()) return;
  const met = found.isDirectory()
    ? "it is a folder"
    : "it is a pipe, a socket or a device; copy what it gives to a file";
  throw new ClipError("CLIP_DATA", `${path} cannot be read: ${met}`);
}

/** The lines of a text; the reason if it is not UTF-8. */
export function decodeLines(bytes: Uint8Array, name: string): string[] | string {
  const problem = encodingProblem(bytes, 1);
  return problem === undefined ? splitLines(new TextDecoder().decode(bytes)) : `${name}${problem}`;
}

/** Finds the line in which a file is not UTF-8. */
async function findOtherEncoding(path: string): Promise<string> {
  let [line, open] = [1, Buffer.alloc(0)];
  for await (const chunk of createReadStream(path)) {
    const bytes = Buffer.concat([open, chunk as Buffer]);
    const end = bytes.lastIndexOf(newline) + 1;
    const found = encodingProblem(bytes.subarray(0, end), line);
    if (found !== undefined) return found;
    line += countLines(bytes.subarray(0, end));
    // An unfinished line is checked up to the maximum length.
    open = Buffer.from(bytes.subarray(end, end + 4 * maxLineLength));
  }
  return encodingProblem(open, line) ?? ` is ${notUtf8}`;
}

const newline = 0x0a;

function countLines(bytes: Uint8Array): number {
  let count = 0;
  for (const byte of bytes) if (byte === newline) count++;
  return count;
}
