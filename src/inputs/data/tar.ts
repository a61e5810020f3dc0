import { type FileHandle, open } from "node:fs/promises";
import { ClipError, problemOf } from "../../core/errors.ts";
import { isLitter } from "./image-files.ts";

export interface TarEntry {
  /** With `/` between folders, without leading `./`. */
  readonly name: string;
  /** Byte offset of the file in the archive. */
  readonly offset: number;
  /** In bytes. */
  readonly length: number;
  /** The requested first bytes. */
  readonly content?: Uint8Array;
}

/** An entry whose content cannot be read as a file. */
interface UnusableEntry {
  readonly name: string;
  readonly reason: string;
}

/** The readable contents of an archive. */
export interface TarListing {
  readonly entries: readonly TarEntry[];
  /** Links, devices, sparse files, and names outside the archive. */
  readonly unusable: readonly UnusableEntry[];
  /** Why the rest could not be read; the entries before it are good. */
  readonly damage?: string;
}

const blockBytes = 512;
/** Bytes per read, so that small files share one. */
const windowBytes = 2 ** 16;
/** Limit for long names and pax headers; file names have at most 4 KiB. */
const maxHeaderBytes = 2 ** 16;

/** Reasons by type of entry; other types, such as folders, are ignored. */
const unusableTypes: Readonly<Record<string, string>> = {
  "1": "it is a link in the archive; pack it with tar --hard-dereference",
  "2": "it is a link in the archive; pack it with tar --dereference",
  "3": "it is a device, and no file",
  "4": "it is a device, and no file",
  "6": "it is a pipe, and no file",
  S: "it is a sparse file; pack it without tar --sparse",
};

/**
 * Lists the regular files of a tar archive: ustar, GNU's long names and sizes, and pax. Hidden and system files are ignored.
 * Archives joined by `cat` are read as one. Of a damaged archive, the entries before the damage are listed.
 *
 * @param wanted - number of a file's first bytes to read, if any; the rest is not read.
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
    entries,
    unusable,
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
    // Global pax headers and long link names do not concern the next file.
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

/** Types of plain files: current, old, contiguous. */
const fileTypes = new Set(["0", "\0", "7"]);

/** A file read forwards in windows. */
class Window {
  readonly size: number;
  readonly #handle: FileHandle;
  #start = 0;
  #bytes: Uint8Array = new Uint8Array(0);

  constructor(handle: FileHandle, size: number) {
    this.#handle = handle;
    this.size = size;
  }

  /** Up to `length` bytes from `offset` on; valid until the next call. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    if (offset < this.#start || offset + length > this.#start + this.#bytes.length) {
      const buffer = Buffer.allocUnsafe(Math.min(Math.max(length, windowBytes), Math.max(0, this.size - offset)));
      let filled = 0;
      while (filled < buffer.length) {
        const { bytesRead } = await this.#handle.read(buffer, filled, buffer.length - filled, offset + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      this.#start = offset;
      this.#bytes = buffer.subarray(0, filled);
    }
    return this.#bytes.subarray(offset - this.#start, offset - this.#start + length);
  }
}

/** The sum of a header's bytes, with blanks for the checksum itself. */
function checksumOf(header: Uint8Array): number {
  return header.reduce((sum, byte, i) => sum + (i >= 148 && i < 156 ? 0x20 : byte), 0);
}

function hasItsChecksum(header: Uint8Array): boolean {
  return numberAt(header, 148, 8) === checksumOf(header);
}

/** A number as octal digits, or in GNU's binary form with the first bit set. */
function numberAt(header: Uint8Array, at: number, length: number): number {
  const field = header.subarray(at, at + length);
  if (field[0]! & 0x80) return field.slice(1).reduce((sum, byte) => sum * 256 + byte, field[0]! & 0x7f);
  const digits = cString(field).trim();
  return digits === "" ? 0 : /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : NaN;
}

function nameOf(header: Uint8Array): string {
  const name = cString(header.subarray(0, 100));
  // GNU archives use these bytes for other things.
  const isUstar = cString(header.subarray(257, 263)) === "ustar" && header[262] === 0;
  const folder = isUstar ? cString(header.subarray(345, 500)) : "";
  return folder === "" ? name : `${folder}/${name}`;
}

function cString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** Values that extra headers override for the next file. */
interface PaxRecords {
  path?: string;
  size?: number;
  isSparse?: boolean;
}

/** The relevant records of a pax header: "LENGTH KEY=VALUE\n"; the length counts all bytes of the record. */
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

export interface TarContent {
  /** At most 100 bytes of UTF-8. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** The bytes of a tar archive (ustar). */
export async function* tarBytes(files: AsyncIterable<TarContent>): AsyncGenerator<Uint8Array> {
  for await (const { name, bytes } of files) {
    yield headerOf(name, bytes.length);
    yield bytes;
    yield new Uint8Array(-bytes.length & (blockBytes - 1));
  }
  yield new Uint8Array(2 * blockBytes);
}

/** Without owner and time, so that equal files give equal archives. */
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
