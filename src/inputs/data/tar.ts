import { type FileHandle, open } from "node:fs/promises";
import { ClipError, problemOf } from "../../core/errors.ts";
import { isLitter } from "./image-files.ts";

/** A file in a tar archive: where its bytes lie. */
export interface TarEntry {
  /** With `/` between folders, without `./` in front. */
  readonly name: string;
  /** Byte of the archive at which the file begins. */
  readonly offset: number;
  /** In bytes. */
  readonly length: number;
  /** Its first bytes, as many as were asked for. */
  readonly content?: Uint8Array;
}

/** An entry that stands for a file and has no bytes that can be read as one. */
interface UnusableEntry {
  readonly name: string;
  readonly reason: string;
}

/** What could be read of an archive. */
export interface TarListing {
  readonly entries: readonly TarEntry[];
  /** Links, devices, sparse files, and names that lead out of the archive. */
  readonly unusable: readonly UnusableEntry[];
  /** Why the rest could not be read; all before it is good. */
  readonly damage?: string;
}

const blockBytes = 512;
/** Read at once: between small files no new call to the disk is needed. */
const windowBytes = 2 ** 16;
/** Long names and the like that stand before a file. Names of files on disks have at most 4 KiB. */
const maxHeaderBytes = 2 ** 16;

/** Types of entries that hold no plain file, and what they are. Others, such as folders, stand for nothing that is missed. */
const unusableTypes: Readonly<Record<string, string>> = {
  "1": "it is a link in the archive; pack it with tar --hard-dereference",
  "2": "it is a link in the archive; pack it with tar --dereference",
  "3": "it is a device, and no file",
  "4": "it is a device, and no file",
  "6": "it is a pipe, and no file",
  S: "it is a sparse file; pack it without tar --sparse",
};

/**
 * Lists the regular files of a tar archive: ustar, GNU's long names and sizes, and pax. Of the content only that is read
 * which `wanted` asks for; the rest is skipped, not read. Litter, as folders have it, is passed over.
 *
 * @param wanted - how many of a file's first bytes are read, if any.
 *
 * Behind its end another archive may follow, as `cat` joins them. A damaged archive gives what stands before the damage.
 *
 * @throws {ClipError} `CLIP_FILE` if it cannot be read.
 */
export async function listTar(
  path: string,
  wanted: (name: string, length: number) => number | undefined = () => undefined,
): Promise<TarListing> {
  const handle = await open(path, "r").catch((cause: unknown) => {
    throw new ClipError("CLIP_FILE", `cannot read ${path}: ${problemOf(cause)}`, { cause });
  });
  try {
    return await walk(new Window(handle, (await handle.stat()).size), wanted);
  } catch (cause) {
    throw new ClipError("CLIP_FILE", `cannot read ${path}: ${problemOf(cause)}`, { cause });
  } finally {
    await handle.close();
  }
}

async function walk(file: Window, wanted: (name: string, length: number) => number | undefined): Promise<TarListing> {
  const entries: TarEntry[] = [];
  const unusable: UnusableEntry[] = [];
  const broken = (problem: string): TarListing => ({
    ...{ entries, unusable },
    damage: `${problem}, after ${entries.length} file${entries.length === 1 ? "" : "s"}`,
  });
  let override: PaxRecords = {};
  let hasEnded = false;
  for (let at = 0; ;) {
    const header = await file.read(at, blockBytes);
    if (header.length < blockBytes)
      return hasEnded ? { entries, unusable } : broken(`it ends at byte ${file.size} without the mark of an end`);
    if (header.every((byte) => byte === 0)) {
      [hasEnded, override] = [true, {}];
      at += blockBytes;
      continue;
    }
    if (!hasItsChecksum(header))
      return broken(
        hasEnded ? `what follows its end, at byte ${at}, is no archive` : `the header at byte ${at} is damaged`,
      );
    hasEnded = false;
    const type = String.fromCharCode(header[156]!);
    const length = override.size ?? numberAt(header, 124, 12);
    const offset = at + blockBytes;
    const name = (override.path ?? nameOf(header)).replace(/^(\.?\/)+/, "");
    if (!Number.isSafeInteger(length) || length < 0) return broken(`the header at byte ${at} has an impossible size`);
    if (offset + length > file.size)
      return broken(`it ends in the middle of ${name}, with ${file.size - offset} of ${length} bytes`);
    at = offset + Math.ceil(length / blockBytes) * blockBytes;
    if (type === "L" || type === "x") {
      if (length > maxHeaderBytes) return broken(`the name at byte ${offset} has ${length} bytes`);
      const bytes = await file.read(offset, length);
      override = { ...override, ...(type === "L" ? { path: cString(bytes) } : paxRecords(bytes)) };
      continue;
    }
    // What holds for all files, and where a link leads: neither says where the next file lies.
    if (type === "g" || type === "K") continue;
    const reason = unusableTypes[override.isSparse ? "S" : type];
    override = {};
    const parts = name.split("/").filter((part) => part !== ".");
    const leadsOut = parts.includes("..");
    if (!leadsOut && parts.some(isLitter)) continue;
    if (reason !== undefined) unusable.push({ name, reason });
    if (reason !== undefined || !fileTypes.has(type) || name.endsWith("/")) continue;
    if (leadsOut) {
      unusable.push({ name, reason: "its name leads out of the archive" });
      continue;
    }
    const bytes = wanted(name, length);
    const content =
      bytes === undefined ? {} : { content: Uint8Array.from(await file.read(offset, Math.min(bytes, length))) };
    entries.push({ name, offset, length, ...content });
  }
}

/** A plain file, as old archives have it, and as some systems call it. */
const fileTypes = new Set(["0", "\0", "7"]);

/** A file read forwards, some of it at a time. */
class Window {
  readonly size: number;
  readonly #handle: FileHandle;
  #start = 0;
  #bytes: Uint8Array = new Uint8Array(0);

  constructor(handle: FileHandle, size: number) {
    [this.#handle, this.size] = [handle, size];
  }

  /** Bytes from `offset` on: `length` of them, or as many as there are; good until the next call. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    if (offset < this.#start || offset + length > this.#start + this.#bytes.length) {
      const buffer = Buffer.allocUnsafe(Math.min(Math.max(length, windowBytes), Math.max(0, this.size - offset)));
      let filled = 0;
      while (filled < buffer.length) {
        const { bytesRead } = await this.#handle.read(buffer, filled, buffer.length - filled, offset + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      [this.#start, this.#bytes] = [offset, buffer.subarray(0, filled)];
    }
    return this.#bytes.subarray(offset - this.#start, offset - this.#start + length);
  }
}

/** The sum of a header's bytes, its own place counted as blanks. */
function checksumOf(header: Uint8Array): number {
  return header.reduce((sum, byte, i) => sum + (i >= 148 && i < 156 ? 0x20 : byte), 0);
}

function hasItsChecksum(header: Uint8Array): boolean {
  return numberAt(header, 148, 8) === checksumOf(header);
}

/** Octal digits or, where they do not suffice, GNU's form: the first bit set, then a big-endian number. */
function numberAt(header: Uint8Array, at: number, length: number): number {
  const field = header.subarray(at, at + length);
  if (field[0]! & 0x80) return field.slice(1).reduce((sum, byte) => sum * 256 + byte, field[0]! & 0x7f);
  const digits = cString(field).trim();
  return digits === "" ? 0 : /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : NaN;
}

function nameOf(header: Uint8Array): string {
  const name = cString(header.subarray(0, 100));
  // GNU writes other things where ustar has the folder.
  const isUstar = cString(header.subarray(257, 263)) === "ustar" && header[262] === 0;
  const folder = isUstar ? cString(header.subarray(345, 500)) : "";
  return folder === "" ? name : `${folder}/${name}`;
}

function cString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** What headers of their own say about the next file. */
interface PaxRecords {
  path?: string;
  size?: number;
  isSparse?: boolean;
}

/** The records of a pax header that matter here: "LENGTH KEY=VALUE\n", the length in bytes with itself. */
function paxRecords(bytes: Uint8Array): PaxRecords {
  const records: PaxRecords = {};
  for (let at = 0; at < bytes.length;) {
    const length = Number.parseInt(new TextDecoder().decode(bytes.subarray(at, at + 10)), 10);
    if (!(length > 0)) break;
    const [, key, value] =
      /^\d+ ([^=]+)=(.*)\n$/s.exec(new TextDecoder().decode(bytes.subarray(at, at + length))) ?? [];
    if (key === "path") records.path = value!;
    if (key === "size") records.size = Number(value);
    if (key === "GNU.sparse.name") records.path = value!;
    if (key?.startsWith("GNU.sparse.")) records.isSparse = true;
    at += length;
  }
  return records;
}

/** A file to put into an archive. */
export interface TarContent {
  /** At most 100 bytes of UTF-8. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** The bytes of a tar archive in the form that all readers know (ustar). */
export async function* tarBytes(files: AsyncIterable<TarContent>): AsyncGenerator<Uint8Array> {
  for await (const { name, bytes } of files) {
    yield headerOf(name, bytes.length);
    yield bytes;
    yield new Uint8Array(-bytes.length & (blockBytes - 1));
  }
  yield new Uint8Array(2 * blockBytes);
}

/** Without owner and time: the same files give the same archive. */
function headerOf(name: string, length: number): Uint8Array {
  const header = Buffer.alloc(blockBytes);
  const octal = (value: number, at: number, digits: number) =>
    header.write(value.toString(8).padStart(digits, "0"), at);
  header.write(name, 0, 100);
  octal(0o644, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  octal(length, 124, 11);
  octal(0, 136, 11);
  header.write("0", 156);
  header.write("ustar\x0000", 257);
  octal(checksumOf(header), 148, 6);
  header.write("\0 ", 154);
  return header;
}
