import { exists } from "../../core/files.ts";
import { ClipError } from "../../core/errors.ts";
import {
  checkKind,
  checkOptions,
  either,
  numberFrom,
  abortSignal,
  flag,
  listOf,
  type OptionKinds,
  record,
  text,
  wholeNumber,
} from "../../core/options.ts";
import { type ClipEncoder, encoderKind } from "../../model/embedding/encoder.ts";
import { modelChecksum, modelFilesState } from "../../model/embedding/fingerprint.ts";
import { modelName } from "../../model/hub/cache.ts";
import { Background, embedBackground, matchProbability } from "./background.ts";
import { type SearchFilter, parseFilter } from "./filter.ts";
import { indexFolders, indexKinds, type IndexOptions, type IndexSummary } from "./index-folders.ts";
import { embedQuery, type Query, termsOf } from "./query.ts";
import { databaseOf, SqliteStore } from "./sqlite-store.ts";
import type { Store, StoreHit } from "./store.ts";

/** How an index is searched. */
export interface SearchOptions {
  /** Most results. Default 100. */
  readonly topK?: number | undefined;
  /** Items to choose from, such as `taken >= 2024-01-01 and camera = 'X100'`. */
  readonly where?: string | SearchFilter | undefined;
  /** Least probability of a result, in [0, 1]. Default 0.5; 0 gives the nearest ones, whatever they show. */
  readonly minProbability?: number | undefined;
  /** Whether texts are also looked for in file names and descriptions. Default true. */
  readonly words?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

const searchKinds: OptionKinds<SearchOptions> = {
  ...{ topK: wholeNumber(1), where: either(text, record), minProbability: numberFrom(0, 1) },
  ...{ words: flag, signal: abortSignal },
};

/** An item that matches a query, with its best view. */
export interface SearchHit extends Omit<StoreHit, "vector"> {
  /** That the image matches, in [0, 1]; what the file's words say does not count. */
  readonly probability: number;
  /** Whether its name or description has the query's words. */
  readonly hasWords: boolean;
}

/** Vectors that the background of an index is estimated from. */
const sampled = 512;
/** Rankings are merged by 1 / (this + rank) (Cormack et al. 2009). */
const rankOffset = 60;

/**
 * Opens the search index of a folder, and creates it if there is none. An index holds the vectors of one model.
 *
 * @example
 * ```ts
 * await using clip = await loadClip("pictograms");
 * await using index = await openIndex("my-index", clip);
 * await index.add("drawings");
 * for await (const { item, probability } of index.search("a red bicycle")) console.log(probability, item.path);
 * ```
 *
 * @param path - the folder of the index.
 * @throws {ClipError} `CLIP_USAGE` if the index holds vectors of another model; `CLIP_FILE` if it is damaged or cannot be written.
 */
export async function openIndex(path: string, encoder: ClipEncoder): Promise<SearchIndex> {
  checkKind("openIndex: the path", path, text);
  checkKind("openIndex: the model", encoder, encoderKind);
  const state = await modelFilesState(encoder);
  if (await exists(databaseOf(path))) {
    const store = await SqliteStore.open(path);
    if ((await store.setting("modelFiles")) === state) return new SearchIndex(store, encoder);
    await store[Symbol.asyncDispose]();
  }
  const fingerprint = { name: modelName(encoder.path), checksum: await modelChecksum(encoder), dim: encoder.embedDim };
  const store = await SqliteStore.open(path, fingerprint);
  await store.setSetting("modelFiles", state);
  return new SearchIndex(store, encoder);
}

/** A search index, and the model that embeds its images and the queries. */
export class SearchIndex implements AsyncDisposable {
  readonly store: Store;
  readonly encoder: ClipEncoder;
  #prompts: Promise<readonly Float32Array[]> | undefined;

  /** Use {@link openIndex}. */
  constructor(store: Store, encoder: ClipEncoder) {
    this.store = store;
    this.encoder = encoder;
  }

  /**
   * Brings the index up to date with folders: embeds new and changed images, reuses the vectors of renamed and copied ones, and
   * removes those that are gone. What is written stays if it is stopped or killed, and the next call continues.
   *
   * @throws {ClipError} `CLIP_FILE` if another process changes the index; `CLIP_DATA` if a folder cannot be read.
   */
  async add(folders: string | readonly string[], options: IndexOptions = {}): Promise<IndexSummary> {
    const list = typeof folders === "string" ? [folders] : folders;
    checkKind("add: folders", list, listOf(text));
    checkOptions("add", options, indexKinds);
    await using lock = await this.store.lock();
    if (!lock)
      throw new ClipError("CLIP_FILE", "another process is changing this index; wait for it, or use another index");
    return await indexFolders(this.store, this.encoder, list, options);
  }

  /**
   * The items that match a query, best first: by their images and, for a query of one text, by the words of their names and
   * descriptions. Ends where the background of the index begins.
   *
   * @throws {ClipError} `CLIP_USAGE` if the query or the filter is not understood; `CLIP_IMAGE` if an image of the query cannot
   *   be read.
   */
  async *search(query: Query, options: SearchOptions = {}): AsyncGenerator<SearchHit> {
    checkOptions("search", options, searchKinds);
    const { topK = 100, minProbability = 0.5, words = true, signal } = options;
    const where = typeof options.where === "string" ? parseFilter(options.where) : options.where;
    const terms = termsOf(query);
    const vector = await embedQuery(this.encoder, query, { signal });
    const nearest = await this.store.search(vector, { k: topK, where });
    const judge = await this.#judge(vector, nearest, signal);
    const likely = judge(nearest).filter(({ probability }) => probability >= minProbability);
    likely.sort((a, b) => b.probability - a.probability);
    const sentence = words && terms.length === 1 && terms[0]!.text !== undefined ? terms[0]!.text : undefined;
    const named =
      sentence === undefined ? [] : judge(await this.store.searchWords(sentence, vector, { k: topK, where }));
    yield* merged(likely, named).slice(0, topK);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store[Symbol.asyncDispose]();
  }

  /** Gives views of a query's results their probability, and keeps the best view of each item. */
  async #judge(query: Float32Array, nearest: readonly StoreHit[], signal: AbortSignal | undefined) {
    this.#prompts ??= this.#embedPrompts(signal);
    const prompts = await this.#prompts.catch((error: unknown) => {
      this.#prompts = undefined;
      throw error;
    });
    const background = new Background(prompts, await this.store.sample(sampled));
    const ofQuery = background.of(query);
    const distinctness = ({ vector }: StoreHit) => background.distinctness(query, vector, ofQuery);
    const mostDistinct = Math.max(...nearest.map(distinctness));
    return (hits: readonly StoreHit[]): Omit<SearchHit, "hasWords">[] => {
      const best = new Map<string, Omit<SearchHit, "hasWords">>();
      for (const hit of hits) {
        const { item, time, box, similarity } = hit;
        const shown = { item, time, box, similarity };
        const known = best.get(hit.item.path);
        if (known && known.similarity >= hit.similarity) continue;
        best.set(hit.item.path, { ...shown, probability: matchProbability(distinctness(hit), mostDistinct) });
      }
      return [...best.values()];
    };
  }

  /** The embeddings of the background's prompts, which the index keeps: they take the text tower seconds. */
  async #embedPrompts(signal: AbortSignal | undefined): Promise<readonly Float32Array[]> {
    const { dim } = this.store.model;
    const kept = await this.store.setting("background");
    if (kept !== undefined) {
      const all = new Float32Array(Uint8Array.from(Buffer.from(kept, "base64")).buffer);
      return Array.from({ length: all.length / dim }, (_, i) => all.subarray(i * dim, (i + 1) * dim));
    }
    const prompts = await embedBackground(this.encoder, signal);
    const bytes = Buffer.concat(
      prompts.map((prompt) => Buffer.from(prompt.buffer, prompt.byteOffset, prompt.byteLength)),
    );
    await this.store.setSetting("background", bytes.toString("base64"));
    return prompts;
  }
}

/** Merges two rankings by reciprocal rank: an item that is high in both comes first. */
function merged(
  likely: readonly Omit<SearchHit, "hasWords">[],
  named: readonly Omit<SearchHit, "hasWords">[],
): SearchHit[] {
  const scores = new Map<string, { readonly hit: SearchHit; readonly score: number }>();
  const add = (hits: readonly Omit<SearchHit, "hasWords">[], hasWords: boolean) => {
    for (const [rank, hit] of hits.entries()) {
      const known = scores.get(hit.item.path);
      const score = (known?.score ?? 0) + 1 / (rankOffset + rank);
      scores.set(hit.item.path, { hit: { ...hit, hasWords: hasWords || known?.hit.hasWords === true }, score });
    }
  };
  add(likely, false);
  add(named, true);
  return [...scores.values()]
    .sort((a, b) => b.score - a.score || b.hit.probability - a.hit.probability)
    .map(({ hit }) => hit);
}
