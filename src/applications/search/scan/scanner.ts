import { randomUUID } from "node:crypto";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { makeFolder } from "../../../core/atomic-write.ts";
import { type ScoredRow, type Precision, type Rows, Segment } from "./segment.ts";

/** The truth that the scanner's cache is derived from. */
export interface RowSource {
  readonly dim: number;
  /** Ids of all rows, ascending. An id is never used for another vector. */
  ids(): Float64Array;
  /** The vectors of some ids, in their order: [ids, dim]. */
  vectors(ids: Float64Array): Float32Array;
}

/** Most rows that are scanned in memory, without a segment. */
export const maxTailRows = 16_384;
/** Up to this number of rows the scan is exact. */
const maxExactRows = 131_072;
/** Rows of the largest segment; bounds the memory for writing one. */
const maxSegmentRows = 262_144;
/** Candidates per segment: enough that exact scores find the true best among them. */
const candidates = 500;
const ending = ".safetensors";

/** A segment, and which of its rows exist. */
interface OpenSegment {
  readonly segment: Segment;
  readonly alive: Uint8Array;
}

/**
 * Finds the rows most similar to a query by comparing it with all rows. Rows are sealed into segments, files in a cache folder
 * that are rebuilt if they are missing or damaged; the newest rows are kept in memory.
 */
export class Scanner implements AsyncDisposable {
  readonly #folder: string;
  readonly #source: RowSource;
  #segments: OpenSegment[] = [];
  #tail: Rows;

  private constructor(folder: string, source: RowSource) {
    this.#folder = folder;
    this.#source = source;
    this.#tail = { ids: new Float64Array(), vectors: new Float32Array() };
  }

  /** Opens the cache in a folder, and rebuilds what is missing. */
  static async open(folder: string, source: RowSource): Promise<Scanner> {
    const scanner = new Scanner(folder, source);
    await scanner.refresh();
    return scanner;
  }

  /** Follows the source: takes in new rows, and forgets removed ones. */
  async refresh(): Promise<void> {
    const alive = this.#source.ids();
    if (this.#segments.length === 0 && alive.length > maxTailRows) await this.#openSegments(alive);
    const sealed = this.#segments.map(({ segment }) => segment.ids);
    const fresh = withoutAll(alive, sealed);
    this.#segments = this.#segments.map(({ segment }) => ({ segment, alive: membership(segment.ids, alive) }));
    this.#tail = { ids: fresh, vectors: fresh.length > maxTailRows ? new Float32Array() : this.#vectorsOf(fresh) };
    if (fresh.length > maxTailRows) await this.#seal(alive, fresh);
  }

  /**
   * Candidates for the k rows with the highest scores, best first. Scores are approximate if there are many rows: rescore the
   * candidates exactly.
   *
   * @param query - float32 [dim], of length 1.
   * @param allowed - ids to choose from, ascending; all without it.
   */
  async scan(query: Float32Array, k: number, allowed?: Float64Array): Promise<ScoredRow[]> {
    const wanted = Math.max(k, candidates);
    const found: ScoredRow[] = [];
    for (const { segment, alive } of this.#segments) {
      const mask = allowed ? membership(segment.ids, allowed, alive) : alive;
      found.push(...(await segment.scan(query, wanted, mask)));
    }
    found.push(...scanTail(query, this.#tail, allowed));
    return found.sort((a, b) => b.score - a.score || a.id - b.id).slice(0, wanted);
  }

  /** The tail's vectors that are known already, and the others from the source. */
  #vectorsOf(ids: Float64Array): Float32Array {
    const { dim } = this.#source;
    const known = new Map(Array.from(this.#tail.ids, (id, row) => [id, row]));
    const unknown = ids.filter((id) => !known.has(id));
    const read = this.#source.vectors(unknown);
    const vectors = new Float32Array(ids.length * dim);
    let next = 0;
    for (const [at, id] of ids.entries()) {
      const row = known.get(id);
      const from = row === undefined ? read : this.#tail.vectors;
      const start = (row ?? next++) * dim;
      vectors.set(from.subarray(start, start + dim), at * dim);
    }
    return vectors;
  }

  /** Opens the segments of the cache that hold rows of the source; removes those that do not, or are damaged. */
  async #openSegments(alive: Float64Array): Promise<void> {
    const names = await readdir(this.#folder).catch(() => []);
    for (const name of names.filter((each) => each.endsWith(ending)).sort()) {
      const path = join(this.#folder, name);
      const segment = await Segment.open(path).catch(() => undefined);
      const isUseful =
        segment?.dim === this.#source.dim &&
        withoutAll(
          segment.ids,
          this.#segments.map(({ segment: { ids } }) => ids),
        ).length === segment.ids.length &&
        2 * count(membership(segment.ids, alive)) > segment.ids.length;
      if (isUseful) this.#segments.push({ segment, alive: membership(segment.ids, alive) });
      else await rm(path, { force: true });
    }
  }

  /**
   * Seals the tail. Segments no longer than what is sealed are merged into it, so that their number grows with the logarithm of
   * the number of rows; so are those of another precision.
   */
  async #seal(alive: Float64Array, fresh: Float64Array): Promise<void> {
    const precision: Precision = alive.length > maxExactRows ? "q4" : "float32";
    let rows = fresh;
    const kept: OpenSegment[] = [];
    const merged: OpenSegment[] = [];
    for (const open of this.#segments.toSorted((a, b) => a.segment.ids.length - b.segment.ids.length)) {
      const { segment } = open;
      const isSmall = segment.ids.length <= rows.length && segment.ids.length < maxSegmentRows;
      if (!isSmall && segment.precision === precision) kept.push(open);
      else {
        merged.push(open);
        const own = segment.ids.filter((_, row) => open.alive[row] === 1);
        rows = Float64Array.from([...rows, ...own]).sort();
      }
    }
    await makeFolder(this.#folder);
    for (let at = 0; at < rows.length; at += maxSegmentRows) {
      const ids = rows.slice(at, at + maxSegmentRows);
      const path = join(this.#folder, `${randomUUID()}${ending}`);
      await Segment.write(path, { ids, vectors: this.#source.vectors(ids) }, precision);
      kept.push({ segment: await Segment.open(path), alive: new Uint8Array(ids.length).fill(1) });
    }
    for (const { segment } of merged) {
      await segment[Symbol.asyncDispose]();
      await rm(segment.path, { force: true });
    }
    this.#segments = kept;
    this.#tail = { ids: new Float64Array(), vectors: new Float32Array() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { segment } of this.#segments) await segment[Symbol.asyncDispose]();
    this.#segments = [];
  }
}

/** Scores all rows in memory. */
function scanTail(query: Float32Array, { ids, vectors }: Rows, allowed?: Float64Array): ScoredRow[] {
  const dim = query.length;
  const taking = allowed && membership(ids, allowed);
  const found: ScoredRow[] = [];
  for (let row = 0; row < ids.length; row++) {
    if (taking?.[row] === 0) continue;
    const start = row * dim;
    let score = 0;
    for (let i = 0; i < dim; i++) score += query[i]! * vectors[start + i]!;
    found.push({ id: ids[row]!, score });
  }
  return found;
}

/** For each of `ids` whether `set` has it, and `and` does not exclude it; both ascending. */
function membership(ids: Float64Array, set: Float64Array, and?: Uint8Array): Uint8Array {
  const members = new Uint8Array(ids.length);
  let at = 0;
  for (let row = 0; row < ids.length; row++) {
    while (at < set.length && set[at]! < ids[row]!) at++;
    if (set[at] === ids[row] && and?.[row] !== 0) members[row] = 1;
  }
  return members;
}

/** The ids that none of the lists has; all ascending. */
function withoutAll(ids: Float64Array, lists: readonly Float64Array[]): Float64Array {
  const held = new Uint8Array(ids.length);
  for (const list of lists) for (const [row, member] of membership(ids, list).entries()) held[row]! |= member;
  return ids.filter((_, row) => held[row] === 0);
}

const count = (members: Uint8Array): number => members.reduce((sum, member) => sum + member, 0);
