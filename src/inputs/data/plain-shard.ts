import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, join } from "node:path";
import { constants, createGunzip } from "node:zlib";
import { makeFolder, writeFileAtomic } from "../../core/atomic-write.ts";
import { ClipError, problemOf } from "../../core/errors.ts";
import { exists, sizeOf } from "../../core/files.ts";
import type { DownloadOptions } from "../../core/download.ts";
import { withLock } from "../../core/lock.ts";

/** No shard is larger; a few bytes of gzip can stand for a full disk. */
const maxUnpackedBytes = 2 ** 36;

/** A shard as a file that can be read at any place. */
export interface PlainShard {
  readonly file: string;
  /** Why its end is missing, if that is known already. */
  readonly damage?: string;
}

type FetchOptions = Pick<DownloadOptions, "signal" | "onProgress">;

/** Whether it is fetched rather than opened. */
export function isAddress(source: string): boolean {
  return /^https?:\/\//i.test(source);
}

/** What an address is called in messages and lists: it may carry a password behind its `?`. */
export function withoutQuery(address: string): string {
  return isAddress(address) ? address.replace(/[?#].*$/s, "").replace(/\/\/[^/@]*@/, "//") : address;
}

/** Where shards are kept that had to be fetched, unpacked or written first. */
function shardFolder(): string {
  return join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "clip-ts", "shards");
}

/**
 * The shard as a plain file on this machine. One with an address is fetched once and kept; a gzip file is unpacked once and kept:
 * a place in it cannot be read without all before it.
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
 * A plain shard that is made of a file, once for each state of it.
 *
 * @param how - what else it depends on.
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
  // What asks the network is loaded when it is needed.
  const { download } = await import("../../core/download.ts");
  try {
    await download(address, file, { signal, onProgress: (progress) => onProgress?.({ ...progress, url: name }) });
    return { file };
  } catch (error) {
    if (!(error instanceof ClipError) || error.code !== "CLIP_DOWNLOAD") throw error;
    const reason = error.message.replaceAll(address, name);
    const part = `${file}.part`;
    // What has arrived is as good as a shard that ends there.
    if (await sizeOf(part)) return { file: part, damage: reason };
    throw new ClipError("CLIP_DATA", reason);
  }
}

function keyOf(...parts: readonly string[]): string {
  return createHash("sha256").update(parts.join("\0")).digest("hex").slice(0, 32);
}

const [zstd, bzip2, xz] = ["zstd", "bzip2", "xz"].map(
  (name) => `compressed by ${name}, and of compressed shards only those of gzip are read; unpack it with ${name} -d`,
) as [string, string, string];

/** First bytes of files that are no shards as they are. */
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

/** What is in a gzip file; of a damaged one what is before the damage, which shows as a shard that ends early. */
async function* unpack(path: string): AsyncGenerator<Uint8Array> {
  // With this flag the end of a file that was cut is no error.
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
