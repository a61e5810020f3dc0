import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { makeFolder, removeTemporaries, writeFileAtomic } from "../../core/atomic-write.ts";
import { ClipError } from "../../core/errors.ts";
import { exists } from "../../core/files.ts";
import { ifThere } from "../../core/if-there.ts";
import { parseStrict } from "../../core/parse.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";
import { type NamedVectors, type VectorFormat, vectorFormats } from "./vector-files.ts";

/** Items to embed, in order. */
export interface Embedding<Item> {
  readonly items: readonly Item[];
  /** Unreadable parts of the source, listed with the first shard. */
  readonly unreadable?: readonly SkippedImage[];
  readonly idOf: (item: Item) => string;
  /** The embeddings of some items with their ids; skipped ones are passed to `skip`. */
  readonly encode: (
    items: readonly Item[],
    skip: (item: SkippedImage) => void,
  ) => AsyncIterable<readonly [string, Float32Array]>;
  readonly embedDim: number;
  /** What the vectors depend on beside the items: equal for the same model, read in the same way. */
  readonly model: string;
}

/** How vectors are written. */
export interface EmbedOptions {
  /** The folder for the files. */
  readonly out: string;
  readonly format: VectorFormat;
  /** Items in a shard. */
  readonly shardSize: number;
  /** Which of several processes this is, by rank: shard i is made by process i mod size. Default: the only one. */
  readonly rank?: number | undefined;
  readonly size?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told how many items of how many are done, those of finished shards among them. */
  readonly onProgress?: ((done: number, of: number) => void) | undefined;
}

/** A shard that was written. */
export interface EmbeddedShard {
  /** Path of the file with the vectors. */
  readonly path: string;
  readonly vectors: number;
  readonly skipped: readonly SkippedImage[];
}

/** What a folder of vectors says of itself. */
const manifestFile = "embed.json";
const manifestSchema = z.strictObject({
  format: z.string(),
  shardSize: z.int(),
  /** Items, those without a vector among them. */
  items: z.int(),
  embedDim: z.int(),
  /** Sums of the items' names, and of the model. */
  ids: z.string(),
  model: z.string(),
});
type Manifest = z.output<typeof manifestSchema>;

/** What differs where a folder holds something else, in words. */
const differences: Readonly<Record<keyof Manifest, string>> = {
  format: "in another format",
  shardSize: "in shards of another size",
  items: "of another number of items",
  ids: "of other items",
  embedDim: "of another length",
  model: "of another model",
};

/**
 * Embeds items and writes the vectors as shards, `00000.parquet` and so on. A shard is written whole or not at all, and one that is there is not
 * made again: what was stopped goes on when it is called again. What cannot be embedded is listed beside its shard, in `00000.skipped.jsonl`.
 *
 * Yields each shard that it wrote.
 *
 * @throws {ClipError} `CLIP_USAGE` if the folder holds vectors of other items or another model; `CLIP_FILE` if it cannot be written.
 */
export async function* embedShards<Item>(
  { items, unreadable = [], idOf, encode, embedDim, model }: Embedding<Item>,
  { out, format, shardSize, rank = 0, size = 1, signal, onProgress }: EmbedOptions,
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
    const name = String(shard).padStart(5, "0");
    const own = items.slice(shard * shardSize, (shard + 1) * shardSize);
    const path = join(out, `${name}.${format}`);
    if (!(await exists(path))) {
      const skipped: SkippedImage[] = [];
      const named = { ids: [] as string[], vectors: [] as Float32Array[], embedDim } satisfies NamedVectors;
      for await (const [id, vector] of encode(own, (item) => skipped.push(item))) {
        named.ids.push(id);
        named.vectors.push(vector);
        onProgress?.(done + named.ids.length + skipped.length, items.length);
      }
      signal?.throwIfAborted();
      if (shard === 0) skipped.unshift(...unreadable);
      if (skipped.length > 0) await writeFileAtomic(join(out, `${name}.skipped.jsonl`), skipped.map(asLine));
      for (const file of vectorFormats[format](name, named)) await writeFileAtomic(join(out, file.name), [file.bytes]);
      yield { path, vectors: named.ids.length, skipped };
    }
    done += own.length;
    onProgress?.(done, items.length);
  }
}

const asLine = (item: SkippedImage) => `${JSON.stringify(item)}\n`;

/** Refuses a folder with other vectors; the first process says of an empty one what it will hold. */
async function claimFolder(out: string, manifest: Manifest, rank: number): Promise<void> {
  const path = join(out, manifestFile);
  const text = await ifThere(path, readFile(path, "utf8"));
  if (text === undefined) {
    if (rank === 0) await writeFileAtomic(path, [`${JSON.stringify(manifest, null, 2)}\n`]);
    return;
  }
  const met = parseManifest(text, path);
  const different = Object.entries(differences).filter(
    ([key]) => met[key as keyof Manifest] !== manifest[key as keyof Manifest],
  );
  if (different.length === 0) return;
  const [key, what] = different[0] as [keyof Manifest, string];
  const numbers = typeof met[key] === "number" ? ` (${met[key]}, not ${manifest[key]})` : "";
  throw new ClipError("CLIP_USAGE", `${out} holds vectors ${what}${numbers}; name another folder, or remove it`);
}

function parseManifest(text: string, path: string): Manifest {
  try {
    return parseStrict(manifestSchema, JSON.parse(text), path);
  } catch (cause) {
    throw new ClipError("CLIP_USAGE", `${path} does not say what the folder holds; name another folder`, { cause });
  }
}
