import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, join } from "node:path";
import { constants, createGunzip } from "node:zlib";
import { makeFolder, writeFileAtomic } from "../../core/atomic-write.ts";
import { ClipError, problemOf } from "../../core/errors.ts";
import { exists, fileSize } from "../../core/files.ts";
import type { DownloadOptions } from "../../core/download.ts";
import { withLock } from "../../core/lock.ts";

/** Limit for unpacked shards: a small gzip file can fill a disk. */
const maxUnpackedBytes = 2 ** 36;

/** An uncompressed shard on this machine. */
export interface PlainShard {
  readonly file: string;
  /** Why its end is missing, if known. */
  readonly damage?: string;
}

type FetchOptions = Pick<DownloadOptions, "signal" | "onProgress">;

export function isAddress(source: string): boolean {
  return /^https?:\/\//i.test(source);
}

/** An address for messages: without query and credentials, which may hold secrets. */
export function withoutQuery(address: string): string {
  return isAddress(address) ? address.replace(/[?#].*$/s, "").replace(/\/\/[^/@]*@/, "//") : address;
}

/** Cache of downloaded, unpacked and converted shards. */
function shardFolder(): string {
  return join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "clip-ts", "shards");
}

/**
 * The shard as an uncompressed file on this machine. URLs are downloaded and gzip files unpacked once into the cache, since gzip
 * allows no random access.
 *
 * @param shard - a path or an address.
 * @throws {ClipError} `CLIP_DATA` if there is no such shard; `CLIP_FILE` if the disk is full.
 */
export async function plainShard(shard: string, options: FetchOptions = {}): Promise<PlainShard> {
  const fetched = isAddress(shard) ? await fetchShard(shard, options) : { file: shard };
  const found = await stat(fetched.file).catch((cause: unknown) => {
    throw new ClipError("CLIP_DATA", `cannot open the shard ${shard}: ${problemOf(cause)}`, { cause });
  });
  if (!found.isFile()) throw new ClipError("CLIP_DATA", `${shard} is no file; name a shard or a folder of shards`);
  const head = await headOf(fetched.file);
  const other = unreadable.find(([, ...bytes]) => bytes.every((byte, i) => head[i] === byte));
  if (other) return { file: fetched.file, damage: `it is ${other[0]}` };
  if (head[0] !== 0x1f || head[1] !== 0x8b) return fetched;
  const { file, damage } = await keptShard(fetched.file, "", (path) => unpack(path));
  return { file, ...((fetched.damage ?? damage) !== undefined && { damage: (fetched.damage ?? damage)! }) };
}

/**
 * A shard made from a file and cached until the file changes.
 *
 * @param how - the options it depends on.
 */
export async function keptShard(
  path: string,
  how: string,
  make: (path: string) => AsyncIterable<Uint8Array>,
): Promise<PlainShard> {
  const { size, mtimeMs } = await stat(path);
  const folder = shardFolder();
  const file = join(folder, `${keyOf(path, String(size), String(mtimeMs), how)}.tar`);
  await makeFolder(folder, "XDG_CACHE_HOME names another place");
  await withLock(`${file}.lock`, async () => {
    if (!(await exists(file))) await writeFileAtomic(file, make(path));
  });
  return { file };
}

async function fetchShard(address: string, { signal, onProgress }: FetchOptions): Promise<PlainShard> {
  const folder = shardFolder();
  const name = withoutQuery(address);
  const file = join(folder, `${keyOf(address)}-${basename(name).replace(/[^\w.-]/g, "_")}`);
  // Network code is loaded only when needed.
  const { download } = await import("../../core/download.ts");
  try {
    await download(address, file, { signal, onProgress: (progress) => onProgress?.({ ...progress, url: name }) });
    return { file };
  } catch (error) {
    if (!(error instanceof ClipError) || error.code !== "CLIP_DOWNLOAD") throw error;
    const reason = error.message.replaceAll(address, name);
    const part = `${file}.part`;
    // A partial download is used like a shard cut short.
    if (await fileSize(part)) return { file: part, damage: reason };
    throw new ClipError("CLIP_DATA", reason);
  }
}

function keyOf(...parts: readonly string[]): string {
  return createHash("sha256").update(parts.join("\0")).digest("hex").slice(0, 32);
}

const [zstd, bzip2, xz] = ["zstd", "bzip2", "xz"].map(
  (name) => `compressed by ${name}, and of compressed shards only those of gzip are read; unpack it with ${name} -d`,
) as [string, string, string];

/** First bytes of files that cannot be read as shards. */
const unreadable: readonly (readonly [what: string, ...bytes: readonly number[]])[] = [
  [zstd, 0x28, 0xb5, 0x2f, 0xfd],
  [bzip2, ...Buffer.from("BZh")],
  [xz, 0xfd, ...Buffer.from("7zXZ")],
  [
    "a pointer of Git LFS, and not the file itself; fetch that with git lfs pull",
    ...Buffer.from("version https://git-lfs"),
  ],
];

async function headOf(path: string): Promise<Uint8Array> {
  const file = await open(path, "r");
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(32), 0, 32, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** The contents of a gzip file, up to any damage; the shard then ends early. */
async function* unpack(path: string): AsyncGenerator<Uint8Array> {
  // With this flag a truncated file is no error.
  const gunzip = createReadStream(path).pipe(createGunzip({ finishFlush: constants.Z_SYNC_FLUSH }));
  let bytes = 0;
  try {
    for await (const chunk of gunzip) {
      bytes += (chunk as Uint8Array).length;
      if (bytes > maxUnpackedBytes)
        throw new ClipError("CLIP_DATA", `${path} unpacks to more than ${maxUnpackedBytes / 2 ** 30} GiB`);
      yield chunk as Uint8Array;
    }
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (!code.startsWith("Z_")) throw error;
  }
}
