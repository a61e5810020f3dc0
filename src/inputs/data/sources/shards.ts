import { parseJson } from "../table.ts";
import { Sidecars } from "../sidecars.ts";
import type { TarEntry } from "../tar.ts";
import { listShard, maxTextBytes } from "../webdataset.ts";
import {
  asCaptions,
  classCaptions,
  PairCollector,
  type Pairs,
  type SourceOptions,
  syntheticColumns,
} from "./samples.ts";
import { plainShard, withoutQuery } from "../plain-shard.ts";
import { decodeLines } from "../text.ts";

/** Whether a name is a shard's; includes unsupported compressions, so that these are reported. */
export function isShardName(name: string): boolean {
  return /\.(tar(\.(gz|zst|bz2|xz))?|tgz)$/i.test(withoutQuery(name));
}

/**
 * Pairs of webdataset shards: tar archives in which `a/b.jpg` has its captions in `a/b.txt`, one per line, or in `a/b.json` under a
 * key; {@link Sidecars} finds the files that belong together. A damaged shard is read up to the damage and listed as skipped.
 */
export async function readShards(shards: readonly string[], options: SourceOptions): Promise<Pairs> {
  const collected = new PairCollector();
  for (const shard of shards) {
    const { file, damage } = await plainShard(shard, options);
    await collectShard({ file, damage, name: withoutQuery(shard) }, options, collected);
  }
  return collected;
}

interface NamedShard {
  readonly file: string;
  readonly damage?: string | undefined;
  /** Its name in messages. */
  readonly name: string;
}

/** Adds the pairs of a plain shard. */
export async function collectShard(
  { file, damage, name: shard }: NamedShard,
  options: SourceOptions,
  collected: PairCollector,
): Promise<void> {
  const isText = (name: string) => !options.imagesOnly && /\.(txt|json)$/i.test(name);
  const listing = await listShard(file, shard, isText);
  const before = collected.samples.length;
  for (const { image, reason } of listing.skipped) collected.skip(image, reason);
  const texts = new Sidecars(
    listing.images.map(({ name }) => name),
    listing.others.filter(({ name }) => isText(name)).map((entry) => [entry.name, entry]),
  );
  for (const { image, reason } of texts.hidden) collected.skip(`${shard}/${image}`, reason);
  for (const { name, offset, length } of listing.images) {
    const location = { image: `${shard}/${name}`, bytes: { file, offset, length } };
    if (options.imagesOnly) collected.addImage(location);
    else collected.add(location, captionsOf(name, texts, shard, options), syntheticOf(name, texts, shard, options));
  }
  // The reason of an incomplete download already has advice.
  const problem = damage ?? (listing.damage && `${listing.damage}; fetch or pack it again`);
  if (problem === undefined) return;
  const read = collected.samples.length - before;
  const what = `${options.imagesOnly ? "image" : "pair"}${read === 1 ? "" : "s"}`;
  collected.skip(
    shard,
    `the shard is cut or damaged; ${read} ${what} could be read, what came after is lost: ${problem}`,
  );
}

function captionsOf(
  image: string,
  texts: Sidecars<TarEntry>,
  shard: string,
  { classTemplates, captionColumn }: SourceOptions,
): string[] | string {
  if (classTemplates) return classCaptions(image, classTemplates);
  // A given key means JSON.
  const endings = captionColumn === undefined ? [".txt", ".json"] : [".json"];
  const entry = texts.find(image, endings);
  if (!entry) return `there is no ${endings.join(" or ")} with its captions`;
  const lines = linesOf(entry, shard);
  if (typeof lines === "string" || !isJson(entry)) return lines;
  return captionsInJson(lines.join("\n"), `${shard}/${entry.name}`, captionColumn);
}

const isJson = ({ name }: TarEntry) => name.toLowerCase().endsWith(".json");

/** The lines of the synthetic caption, if requested: from its own file or the JSON. Empty if there is none. */
function syntheticOf(
  image: string,
  texts: Sidecars<TarEntry>,
  shard: string,
  options: SourceOptions,
): string[] | string {
  if (!options.synthetic) return [];
  const own = texts.find(
    image,
    syntheticColumns(options).map((column) => `.${column}.txt`),
  );
  if (own) return linesOf(own, shard);
  const json = texts.find(image, [".json"]);
  const lines = json ? linesOf(json, shard) : [];
  if (typeof lines === "string" || !json) return lines;
  const place = `${shard}/${json.name}`;
  const object = parseObject(lines.join("\n"), place);
  if (typeof object === "string") return object;
  const key = syntheticColumns(options).find((name) => (object.get(name) ?? undefined) !== undefined);
  return key === undefined ? [] : textsAt(object, key, place);
}

/** The lines of a text file, or the reason why it cannot be read. */
function linesOf({ name, length, content }: TarEntry, shard: string): string[] | string {
  const place = `${shard}/${name}`;
  if (length > maxTextBytes) return `${place} has ${length} bytes, and at most ${maxTextBytes} are read`;
  return decodeLines(content ?? new Uint8Array(0), place);
}

function captionsInJson(text: string, place: string, captionColumn: string | undefined): string[] | string {
  const object = parseObject(text, place);
  if (typeof object === "string") return object;
  const keys = captionColumn === undefined ? ["caption", "title"] : [captionColumn];
  const key = keys.find((name) => object.has(name));
  if (key === undefined)
    return `${place} has no ${keys.map((name) => `"${name}"`).join(" or ")}; it has ${[...object.keys()].slice(0, 20).join(", ")}`;
  return textsAt(object, key, place);
}

function parseObject(text: string, place: string): ReadonlyMap<string, unknown> | string {
  try {
    return new Map(Object.entries((parseJson(text) as object | null) ?? {}));
  } catch {
    return `${place} is not JSON`;
  }
}

function textsAt(object: ReadonlyMap<string, unknown>, key: string, place: string): string[] | string {
  return asCaptions(object.get(key)) ?? `${place}: "${key}" must be a string or a list of strings`;
}

/** Captions in the format of shards, one per line; line breaks within one become blanks, as in tokenization. */
export function captionBytes(captions: readonly string[]): Uint8Array {
  return new TextEncoder().encode(captions.map((caption) => `${caption.replace(/\s+/g, " ")}\n`).join(""));
}
