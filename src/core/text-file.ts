import { ClipError } from "./errors.ts";

/** Number of leading bytes examined to detect an encoding. */
const headBytes = 4096;

const byteOrderMarks: readonly (readonly [encoding: string, ...bytes: readonly number[]])[] = [
  ["UTF-32", 0xff, 0xfe, 0, 0],
  ["UTF-32", 0, 0, 0xfe, 0xff],
  ["UTF-16", 0xff, 0xfe],
  ["UTF-16", 0xfe, 0xff],
];

/**
 * Decodes the UTF-8 text of a whole file, without its byte order mark.
 *
 * @param name - file name for the message.
 * @throws {ClipError} `CLIP_FILE` if the text is in another encoding, binary or a Git LFS pointer.
 */
export function decodeText(bytes: Uint8Array, name: string): string {
  const problem = encodingProblem(bytes, 1);
  if (problem !== undefined) throw new ClipError("CLIP_FILE", `${name}${problem}`);
  refuseLfsPointer(bytes, name);
  return new TextDecoder().decode(bytes);
}

const lfsMark = new TextEncoder().encode("version https://git-lfs.github.com/spec/");

/**
 * Refuses a Git LFS pointer, which Git leaves in place of a large file that was not fetched.
 *
 * @param head - the first bytes of the file, 64 or more.
 * @throws {ClipError} `CLIP_FILE`
 */
export function refuseLfsPointer(head: Uint8Array, name: string): void {
  if (lfsMark.every((byte, i) => head[i] === byte))
    throw new ClipError("CLIP_FILE", `${name} is a Git LFS pointer, not the file; run "git lfs pull" in its folder`);
}

/** Splits a text at any line ending: LF, CRLF or CR. */
export function splitLines(text: string): string[] {
  return text.split(/\r\n|\r|\n/);
}

/**
 * Explains why bytes are not UTF-8 text, as the predicate of a sentence whose subject is the file; undefined if they
 * are.
 *
 * @param firstLine - line number of the first byte; only a file's first line reveals another encoding.
 */
export function encodingProblem(bytes: Uint8Array, firstLine: number): string | undefined {
  const other = firstLine === 1 ? otherEncoding(bytes.subarray(0, headBytes)) : undefined;
  if (other !== undefined) return ` is ${other} and ${notUtf8}, for example with iconv -f ${other} -t UTF-8`;
  if (bytes.includes(0)) return " is a binary file and not text; pass a UTF-8 text file";
  if (isUtf8(bytes)) return undefined;
  for (let [line, start] = [firstLine, 0]; start < bytes.length; line++) {
    const found = bytes.indexOf(0x0a, start);
    const end = found < 0 ? bytes.length : found + 1;
    if (!isUtf8(bytes.subarray(start, end))) return `, line ${line} is ${notUtf8}`;
    start = end;
  }
  return undefined;
}

/** Problem and remedy for a text in another encoding. Only UTF-16 and UTF-32 can be identified, by their zero bytes. */
export const notUtf8 = "not UTF-8; save it as UTF-8";

/** @param isPrefix - the last character may be incomplete. */
function isUtf8(bytes: Uint8Array, isPrefix = false): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: isPrefix });
    return true;
  } catch {
    return false;
  }
}

/** Detects UTF-16 or UTF-32 by the byte order mark or, without one, by the zero bytes of Latin letters. */
function otherEncoding(head: Uint8Array): string | undefined {
  const marked = byteOrderMarks.find(([, ...bytes]) => bytes.every((byte, i) => head[i] === byte));
  if (marked) return marked[0];
  const zeros = [0, 0, 0, 0];
  for (const [i, byte] of head.entries()) if (byte === 0) zeros[i % 4]!++;
  const [a, b, c, d] = zeros as [number, number, number, number];
  const letters = Math.floor(head.length / 4);
  if (letters > 0 && a === 0 && Math.min(b, c, d) >= letters) return "UTF-32LE";
  if (letters > 0 && d === 0 && Math.min(a, b, c) >= letters) return "UTF-32BE";
  if (a + c === 0 && b + d > 0) return isUtf16("utf-16le", head) ? "UTF-16LE" : undefined;
  if (b + d === 0 && a + c > 0) return isUtf16("utf-16be", head) ? "UTF-16BE" : undefined;
  return undefined;
}

/**
 * True for UTF-16 text: no control characters, as in binary files, and not UTF-8 with a few stray zeros (Latin text in
 * UTF-16 has one per letter).
 */
function isUtf16(encoding: string, head: Uint8Array): boolean {
  const others = head.filter((byte) => byte !== 0);
  if (4 * (head.length - others.length) < head.length && isUtf8(others, true)) return false;
  const text = new TextDecoder(encoding).decode(head.subarray(0, head.length & ~1));
  return !/[\0-\x08\x0e-\x1f\ufffd]/.test(text.slice(0, -1));
}
