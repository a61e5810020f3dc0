import { createReadStream } from "node:fs";
import { ClipError, problemOf } from "../core/errors.ts";

/** In characters; a file without line breaks is refused before it fills the memory. */
export const maxLineLength = 1 << 20;

/**
 * The text of a file in pieces, without its byte order mark.
 *
 * @throws {ClipError} `CLIP_DATA` if it cannot be read or is not UTF-8; says then in which line.
 */
export async function* readText(path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    for await (const bytes of createReadStream(path)) yield decoder.decode(bytes as Buffer, { stream: true });
    yield decoder.decode();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== "ERR_ENCODING_INVALID_ENCODED_DATA")
      throw new ClipError("CLIP_DATA", `${path} cannot be read: ${problemOf(cause)}`, { cause });
    throw new ClipError("CLIP_DATA", `${path}${await findOtherEncoding(path)}`, { cause });
  }
}

/** The lines of a text that is in memory; why it has none if it is not UTF-8. */
export function decodeLines(bytes: Uint8Array, name: string): string[] | string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes).split(/\r\n|\r|\n/);
  } catch {
    return `${name}${otherEncoding(bytes, 1)!}`;
  }
}

/** Reads a file that is not UTF-8 once more, by lines, to say where. */
async function findOtherEncoding(path: string): Promise<string> {
  let [line, open] = [1, Buffer.alloc(0)];
  for await (const chunk of createReadStream(path)) {
    const bytes = Buffer.concat([open, chunk as Buffer]);
    const end = bytes.lastIndexOf(newline) + 1;
    const found = otherEncoding(bytes.subarray(0, end), line);
    if (found !== undefined) return found;
    line += countLines(bytes.subarray(0, end));
    // A line that does not end is looked at as far as a good one may reach.
    open = Buffer.from(bytes.subarray(end, end + 4 * maxLineLength));
  }
  return otherEncoding(open, line) ?? ` is not UTF-8; ${wayOut}`;
}

/** Which line of these is the first that is not UTF-8, and what it may be instead. */
function otherEncoding(bytes: Uint8Array, firstLine: number): string | undefined {
  const mark = bytes.length < 2 ? 0 : bytes[0]! * 256 + bytes[1]!;
  if (firstLine === 1 && (mark === 0xfffe || mark === 0xfeff))
    return ` is UTF-16 and not UTF-8; save it so, for example with iconv -f UTF-16 -t UTF-8`;
  for (let [line, start] = [firstLine, 0]; start < bytes.length; line++) {
    const found = bytes.indexOf(newline, start);
    const end = found < 0 ? bytes.length : found + 1;
    try {
      new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(start, end));
    } catch {
      return `, line ${line} is not UTF-8; ${wayOut}`;
    }
    start = end;
  }
  return undefined;
}

const wayOut = "save it so, for example with iconv -f WINDOWS-1252 -t UTF-8";
const newline = 0x0a;

function countLines(bytes: Uint8Array): number {
  let count = 0;
  for (const byte of bytes) if (byte === newline) count++;
  return count;
}
