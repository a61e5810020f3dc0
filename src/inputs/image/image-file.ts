import { open, readFile, stat } from "node:fs/promises";
import { readFileSync, type Stats, statSync } from "node:fs";
import { ClipError, problemOf } from "../../core/errors.ts";
import { maxImageBytes, tooManyBytes } from "./fetch-image.ts";
import { cannotDecode } from "./refusal.ts";
import { sniffedBytes, sniffImage } from "./sniff.ts";

/**
 * Reads an image file. Opens only regular files: a pipe would block until it has a writer, and a device may never end.
 *
 * @throws {ClipError} `CLIP_IMAGE` if the file is missing, unreadable, not a regular file, or too large.
 */
export async function readImageFile(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const status = await stat(path);
    if (!status.isFile()) throw new ClipError("CLIP_IMAGE", `${path} is ${kindOf(status)}, not an image file`);
    if (status.size === 0) return new Uint8Array(); // some system files report size 0 and never end
    if (status.size > maxImageBytes) throw await tooLarge(path);
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof ClipError) throw cause;
    const missing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    if (missing && /^https?:\/\//i.test(path))
      throw new ClipError("CLIP_IMAGE", `${path} cannot be fetched: the address is invalid`);
    const isAddress = /^[a-z][a-z\d+.-]+:\/\//i.test(path);
    if (missing && isAddress)
      throw new ClipError("CLIP_IMAGE", `${path} cannot be fetched; only https:, http:, data: and file: addresses can`);
    const problem = missing ? "does not exist; check the path" : `cannot be read: ${problemOf(cause)}`;
    throw new ClipError("CLIP_IMAGE", `${path} ${problem}`, { cause });
  }
}

/** Synchronous {@link readImageFile}, for worker threads; returns `undefined` where that would throw. */
export function readImageFileAtOnce(path: string): Uint8Array | undefined {
  try {
    const status = statSync(path);
    return status.isFile() && status.size > 0 && status.size <= maxImageBytes ? readFileSync(path) : undefined;
  } catch {
    return undefined;
  }
}

function kindOf(status: Stats): string {
  if (status.isDirectory()) return "a folder";
  if (status.isFIFO()) return "a named pipe";
  if (status.isSocket()) return "a socket";
  return "a device";
}

/** The error for a huge file: its format if it is not an image, since most are videos. */
async function tooLarge(path: string): Promise<ClipError> {
  const file = await open(path);
  try {
    const head = new Uint8Array(sniffedBytes);
    await file.read(head);
    return sniffImage(head)?.decodable ? tooManyBytes(path) : cannotDecode(path, head);
  } finally {
    await file.close();
  }
}
