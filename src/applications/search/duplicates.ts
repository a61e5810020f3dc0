import { decodeImage } from "../../inputs/image/decode.ts";
import type { RasterImage } from "../../inputs/image/raster-image.ts";
import { dot } from "../../model/embedding/encoder.ts";
import type { SearchFilter } from "./filter.ts";
import type { Item, Store } from "./store.ts";

/** Images that look alike. */
export interface DuplicateGroup {
  /** In the order of their paths. */
  readonly items: readonly Item[];
  /** Path of the sharpest; of equally sharp ones, of the largest file. */
  readonly best: string;
}

/** Copies differ in at most this many bits of their perceptual hashes, … */
const maxBits = 6;
/** … and at least this cosine confirms them: flat images have equal hashes. */
const leastCosine = 0.95;
/** A burst: images of one camera within this time, with at least this cosine. */
const [burstSeconds, burstCosine] = [10, 0.9];

interface Entry {
  readonly item: Item;
  readonly vector: Float32Array;
  /** The perceptual hash in two halves. */
  readonly high: number;
  readonly low: number;
}

/**
 * Groups of near-duplicates: copies in other sizes, formats or qualities, and images of a burst.
 *
 * @param where - items to choose from.
 */
export async function findDuplicates(store: Store, where?: SearchFilter): Promise<DuplicateGroup[]> {
  const entries: Entry[] = [];
  for await (const { item, vector } of store.scan(where)) {
    const { perceptualHash: hash } = item;
    if (item.kind !== "image" || hash === undefined) continue;
    entries.push({ item, vector, high: parseInt(hash.slice(0, 8), 16), low: parseInt(hash.slice(8), 16) });
  }
  entries.sort((a, b) => (a.item.path < b.item.path ? -1 : 1));
  const groups = new Groups(entries.length);
  joinCopies(entries, groups);
  joinBursts(entries, groups);
  const found: DuplicateGroup[] = [];
  for (const members of groups.larger()) {
    const items = members.map((i) => entries[i]!.item);
    found.push({ items, best: await sharpest(items) });
  }
  return found;
}

/** Of eight bytes, two hashes that differ in fewer than eight bits have one in common: only those are compared. */
function joinCopies(entries: readonly Entry[], groups: Groups): void {
  for (let byte = 0; byte < 8; byte++) {
    const buckets = new Map<number, number[]>();
    for (const [i, { high, low }] of entries.entries()) {
      const key = ((byte < 4 ? high : low) >>> (8 * (byte % 4))) & 0xff;
      const bucket = buckets.get(key) ?? [];
      for (const j of bucket) if (areCopies(entries[j]!, entries[i]!)) groups.join(j, i);
      buckets.set(key, bucket);
      bucket.push(i);
    }
  }
}

const areCopies = (a: Entry, b: Entry): boolean =>
  bitCount(a.high ^ b.high) + bitCount(a.low ^ b.low) <= maxBits && dot(a.vector, b.vector) >= leastCosine;

function joinBursts(entries: readonly Entry[], groups: Groups): void {
  const timed = entries.flatMap(({ item }, i) =>
    item.taken === undefined ? [] : [{ i, camera: item.camera ?? "", seconds: Date.parse(`${item.taken}Z`) / 1000 }],
  );
  timed.sort((a, b) => (a.camera === b.camera ? a.seconds - b.seconds : a.camera < b.camera ? -1 : 1));
  for (const [at, { i, camera, seconds }] of timed.entries()) {
    const next = timed[at + 1];
    if (next?.camera !== camera || next.seconds - seconds > burstSeconds) continue;
    if (dot(entries[i]!.vector, entries[next.i]!.vector) >= burstCosine) groups.join(i, next.i);
  }
}

/** The number of set bits of a 32-bit integer. */
function bitCount(value: number): number {
  value -= (value >>> 1) & 0x55555555;
  value = (value & 0x33333333) + ((value >>> 2) & 0x33333333);
  return Math.imul((value + (value >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Sets of indices that are joined in pairs (union-find). */
class Groups {
  readonly #parents: number[];

  constructor(count: number) {
    this.#parents = Array.from({ length: count }, (_, i) => i);
  }

  join(a: number, b: number): void {
    this.#parents[this.#root(b)] = this.#root(a);
  }

  /** The sets of two or more, each ascending. */
  larger(): number[][] {
    const sets = new Map<number, number[]>();
    for (let i = 0; i < this.#parents.length; i++) {
      const root = this.#root(i);
      sets.set(root, [...(sets.get(root) ?? []), i]);
    }
    return [...sets.values()].filter((members) => members.length > 1);
  }

  #root(i: number): number {
    while (this.#parents[i] !== i) i = this.#parents[i] = this.#parents[this.#parents[i]!]!;
    return i;
  }
}

async function sharpest(items: readonly Item[]): Promise<string> {
  let best = { path: items[0]!.path, sharpness: -1, bytes: 0 };
  for (const { path, bytes } of items) {
    const sharpness = await decodeImage(path).then(sharpnessOf, () => -1);
    const isBetter = sharpness === best.sharpness ? bytes > best.bytes : sharpness > best.sharpness;
    if (isBetter) best = { path, sharpness, bytes };
  }
  return best.path;
}

/** Energy of the differences between neighbouring pixels, which blur removes; larger images of the same scene have more. */
export function sharpnessOf({ width, height, pixels }: RasterImage): number {
  let energy = 0;
  for (let y = 1; y < height; y++)
    for (let x = 1; x < width; x++) {
      const at = 4 * (y * width + x) + 1;
      const [across, down] = [pixels[at]! - pixels[at - 4]!, pixels[at]! - pixels[at - 4 * width]!];
      energy += across * across + down * down;
    }
  return energy;
}
