import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { makeFolder, removeTemporaries, writeFileAtomic } from "../../core/atomic-write.ts";
import { ClipError } from "../../core/errors.ts";
import { exists } from "../../core/files.ts";
import { undefinedIfMissing } from "../../core/missing-file.ts";
import { parseStrict } from "../../core/parse.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";
import { type ShardVectors, type VectorFormat, vectorFormats } from "./vector-files.ts";

/** Items to embed, in order. */
export interface Embedding<Item> {
  readonly items: readonly Item[];
  /** Items of the source that cannot be read, listed with the first shard. */
  readonly unreadable?: readonly SkippedImage[] | undefined;
  readonly idOf: (item: Item) => string;
  /** The unit vectors of some of the items, with their ids; `skip` is called for each item without one. */
  readonly encode: (
    items: readonly Item[],
    skip: (item: SkippedImage) => void,
  ) => AsyncIterable<readonly [string, Float32Array]>;
  readonly embedDim: number;
  /** Checksum of all that the vectors depend on besides the items. */
  readonly model: string;
}

/** How shards are written. */
export interface ShardOptions {
  /** The folder for the files. */
  readonly out: string;
  readonly format: VectorFormat;
  /** Images or texts in a shard. */
  readonly shardSize: number;
  /** Number of this process among several: shard i is made by process i mod size. Default 0 of 1. */
  readonly rank?: number | undefined;
  readonly size?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of finished items and of all items. */
  readonly onProgress?: ((done: number, of: number) => void) | undefined;
}

/** A shard that {@link embed} wrote. */
export interface EmbeddedShard {
  /** The file with the vectors. */
  readonly path: string;
  /** Number of vectors in it. */
  readonly vectors: number;
  readonly skipped: readonly SkippedImage[];
}

/** Describes a folder of vectors. */
const manifestFile = "embed.json";
const manifestSchema = z.strictObject({
  format: z.enum(["parquet", "npy"]),
  shardSize: z.int().positive(),
  /** Items, those without a vector among them. */
  items: z.int(),
  embedDim: z.int(),
  /** Checksums of the items' ids, and of the model. */
  ids: z.string(),
  model: z.string(),
});
type Manifest = z.output<typeof manifestSchema>;

/** What a mismatch of each key means, for the message. */
const differences: Readonly<Record<keyof Manifest, string>> = {
  format: "in another format",
  shardSize: "in shards of another size",
  items: "of another number of items",
  ids: "of other items",
  embedDim: "of another length",
  model: "of another model",
};

/**
 * Embeds items and writes the vectors as shards, `00000.parquet` and so on; yields each shard it wrote. A shard is written whole or
 * not at all, and existing ones are kept, so a second call continues the first. Skipped items are listed beside their shard, in
 * `00000.skipped.jsonl`.
 *
 * @throws {ClipError} `CLIP_USAGE` if the folder holds vectors of other items or another model; `CLIP_FILE` if it cannot be written.
 */
export async function* embedShards<Item>(
  { items, unreadable = [], idOf, encode, embedDim, model }: Embedding<Item>,
  { out, format, shardSize, rank = 0, size = 1, signal, onProgress }: ShardOptions,
): AsyncGenerator<EmbeddedShard> {
  await makeFolder(out);
  const hash = createHash("sha256");
  for (const item of items) hash.update(JSON.stringify(idOf(item)));
  const manifest = { format, shardSize, items: items.length, embedDim, ids: hash.digest("hex"), model };
  await claimFolder(out, manifest, rank);
  // What others are writing at this moment is not to be removed.
  if (size === 1) await removeTemporaries(out);
  const shards = Math.ceil(items.length / shardSize);
  let done = 0;
  for (let shard = rank; shard < shards; shard += size) {
    const name = shardName(shard);
    const own = items.slice(shard * shardSize, (shard + 1) * shardSize);
    const path = join(out, `${name}.${format}`);
    if (!(await exists(path))) {
      const skipped: SkippedImage[] = [];
      const named = { ids: [] as string[], vectors: [] as Float32Array[], embedDim } satisfies ShardVectors;
      for await (const [id, vector] of encode(own, (item) => skipped.push(item))) {
        named.ids.push(id);
        named.vectors.push(vector);
        onProgress?.(done + named.ids.length + skipped.length, items.length);
      }
      signal?.throwIfAborted();
      if (shard === 0) skipped.unshift(...unreadable);
      if (skipped.length > 0) await writeFileAtomic(join(out, `${name}.skipped.jsonl`), skipped.map(asLine));
      for (const file of vectorFormats[format].write(name, named))
        await writeFileAtomic(join(out, file.name), [file.bytes]);
      yield { path, vectors: named.ids.length, skipped };
    }
    done += own.length;
    onProgress?.(done, items.length);
  }
}

/** Name of a shard's files, without their ending. */
export const shardName = (shard: number): string => String(shard).padStart(5, "0");

const asLine = (item: SkippedImage) => `${JSON.stringify(item)}\n`;

/** Refuses a folder with other vectors; the first process describes an empty one. */
async function claimFolder(out: string, manifest: Manifest, rank: number): Promise<void> {
  const met = await readManifest(out);
  if (!met) {
    if (rank === 0) await writeFileAtomic(join(out, manifestFile), [`${JSON.stringify(manifest, null, 2)}\n`]);
    return;
  }
  const key = (Object.keys(differences) as (keyof Manifest)[]).find((name) => met[name] !== manifest[name]);
  if (!key) return;
  const numbers = typeof met[key] === "number" ? ` (${met[key]}, not ${manifest[key]})` : "";
  const problem = `${out} holds vectors ${differences[key]}${numbers}`;
  throw new ClipError("CLIP_USAGE", `${problem}; name another folder, or remove it`);
}

/**
 * The description of a folder of vectors; undefined if the folder has none.
 *
 * @throws {ClipError} `CLIP_USAGE` if it is damaged.
 */
export async function readManifest(folder: string): Promise<Manifest | undefined> {
  const path = join(folder, manifestFile);
  const text = await undefinedIfMissing(path, readFile(path, "utf8"));
  if (text === undefined) return undefined;
  try {
    return parseStrict(manifestSchema, JSON.parse(text), path);
  } catch (cause) {
    throw new ClipError("CLIP_USAGE", `${path} does not describe a folder of vectors; name another folder`, { cause });
  }
}
