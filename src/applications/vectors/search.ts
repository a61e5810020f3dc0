import { join } from "node:path";
import { ClipError } from "../../core/errors.ts";
import { exists } from "../../core/files.ts";
import { checkKind, sourceOf, text, wholeNumber } from "../../core/options.ts";
import { dot } from "../../model/embedding/encoder.ts";
import type { Source } from "../../core/streams.ts";
import { readManifest, shardName } from "./embed-shards.ts";
import { type NamedVector, vectorFormats } from "./vector-files.ts";

/** A search result. */
export interface Hit {
  readonly id: string;
  /** Dot product with the query, in [−1, 1]. */
  readonly similarity: number;
}

/**
 * Reads a folder of vectors that {@link embed} wrote, in order; holds at most a shard in memory.
 *
 * @throws {ClipError} `CLIP_FILE` if the folder has no vectors, or shards are missing.
 */
export async function* readVectors(folder: string): AsyncGenerator<NamedVector> {
  checkKind("readVectors: the folder", folder, text);
  const manifest = await readManifest(folder);
  if (!manifest) throw new ClipError("CLIP_FILE", `${folder} has no vectors; write some with embed`);
  const { format, items, shardSize } = manifest;
  for (let shard = 0; shard * shardSize < items; shard++) {
    const path = join(folder, shardName(shard));
    if (!(await exists(`${path}.${format}`)))
      throw new ClipError("CLIP_FILE", `${path}.${format} is missing; call embed again to complete the folder`);
    yield* vectorFormats[format].read(path);
  }
}

/**
 * The k vectors most similar to a query, best first. Exact: it compares all of them.
 *
 * @example
 * ```ts
 * await using clip = await loadClip("pictograms");
 * const [query] = await collect(clip.encodeTexts(["a red bicycle"]));
 * for (const { id, similarity } of await topK(query!, readVectors("vectors"), 5)) console.log(id, similarity);
 * ```
 *
 * @param query - float32 [embedDim] of length 1.
 * @throws {ClipError} `CLIP_USAGE` if query and vectors differ in length.
 */
export async function topK(query: Float32Array, vectors: Source<NamedVector>, k: number): Promise<Hit[]> {
  checkKind("topK: the vectors", vectors, sourceOf("{ id, vector }"));
  checkKind("topK: k", k, wholeNumber(1));
  const hits: Hit[] = [];
  for await (const { id, vector } of vectors) {
    const similarity = dot(query, vector);
    if (hits.length === k && similarity <= hits.at(-1)!.similarity) continue;
    const place = hits.findIndex((hit) => hit.similarity < similarity);
    hits.splice(place < 0 ? hits.length : place, 0, { id, similarity });
    if (hits.length > k) hits.pop();
  }
  return hits;
}
