import { listTar, type TarEntry } from "../../data/tar.ts";
import { groupByKey, maxImageBytes } from "../../data/webdataset.ts";
import {
  asCaptions,
  classCaptions,
  isImageName,
  PairCollector,
  type Pairs,
  type SourceOptions,
  syntheticColumns,
} from "./samples.ts";
import { plainShard, withoutQuery } from "../../data/plain-shard.ts";
import { decodeLines } from "../../data/text.ts";

/** Captions and what else stands in a sample's JSON. */
const maxTextBytes = 2 ** 20;

/** Whether a name is that of a shard. */
export function isShardName(name: string): boolean {
  return /\.(tar|tar\.gz|tgz)$/i.test(withoutQuery(name));
}

/**
 * Pairs of shards as webdataset has them: tar archives in which the files of a sample share the name up to its first dot, `a/b.jpg`
 * with `a/b.txt` (lines are captions) or `a/b.json` (an object with the caption's key). A damaged shard gives what stands before
 * the damage, and is listed.
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
  /** What it is called in lists. */
  readonly name: string;
}

/** Adds the pairs of a plain shard. */
export async function collectShard(
  { file, damage, name: shard }: NamedShard,
  options: SourceOptions,
  collected: PairCollector,
): Promise<void> {
  const isWanted = (name: string, length: number) =>
    !options.picturesOnly && captionKind(name) !== undefined && length <= maxTextBytes;
  const listing = await listTar(file, isWanted);
  const before = collected.samples.length;
  for (const sample of groupByKey(listing.entries)) {
    for (const { name, offset, length } of sample.filter((entry) => isImageName(entry.name))) {
      const image = `${shard}/${name}`;
      if (length > maxImageBytes)
        collected.skip(image, `it has ${length} bytes, and at most ${maxImageBytes} are read`);
      else if (options.picturesOnly) collected.addPicture({ image, bytes: { file, offset, length } });
      else {
        const captions = captionsOf(name, sample, shard, options);
        collected.add({ image, bytes: { file, offset, length } }, captions, syntheticOf(sample, shard, options));
      }
    }
  }
  // Why it could not be fetched to its end says already what to do.
  const problem = damage ?? (listing.damage && `${listing.damage}; fetch or pack it again`);
  if (problem === undefined) return;
  const read = collected.samples.length - before;
  const what = `${options.picturesOnly ? "picture" : "pair"}${read === 1 ? "" : "s"}`;
  collected.skip(
    shard,
    `the shard is cut or damaged; ${read} ${what} could be read, what came after is lost: ${problem}`,
  );
}

function captionKind(name: string): "txt" | "json" | undefined {
  return /\.(txt|json)$/.exec(name.toLowerCase())?.[1] as "txt" | "json" | undefined;
}

function captionsOf(
  image: string,
  sample: readonly TarEntry[],
  shard: string,
  options: SourceOptions,
): string[] | string {
  const { classTemplates, captionColumn } = options;
  if (classTemplates) return classCaptions(image, classTemplates);
  // Whoever names a key wants the JSON.
  const kinds = captionColumn === undefined ? (["txt", "json"] as const) : (["json"] as const);
  for (const kind of kinds) {
    const entry = sample.find(({ name }) => captionKind(name) === kind && !isSyntheticName(name, options));
    if (!entry) continue;
    const lines = linesOf(entry, shard);
    if (typeof lines === "string" || kind === "txt") return lines;
    return captionsInJson(lines.join("\n"), `${shard}/${entry.name}`, captionColumn);
  }
  return `there is no ${kinds.map((kind) => `.${kind}`).join(" or ")} with its captions`;
}

/** Whether a file is that of a synthetic caption, a.synthetic.txt. */
function isSyntheticName(name: string, options: SourceOptions): boolean {
  return syntheticColumns(options).some((column) => name.toLowerCase().endsWith(`.${column.toLowerCase()}.txt`));
}

/** The synthetic caption, if it is asked for: of its own file or of the JSON. None is no mistake. */
function syntheticOf(sample: readonly TarEntry[], shard: string, options: SourceOptions): string[] | string {
  if (!options.synthetic) return [];
  const own = sample.find(({ name }) => isSyntheticName(name, options));
  if (own) return linesOf(own, shard);
  const json = sample.find(({ name }) => captionKind(name) === "json");
  const lines = json ? linesOf(json, shard) : [];
  if (typeof lines === "string" || !json) return lines;
  const place = `${shard}/${json.name}`;
  const object = parseObject(lines.join("\n"), place);
  if (typeof object === "string") return object;
  const key = syntheticColumns(options).find((name) => (object.get(name) ?? undefined) !== undefined);
  return key === undefined ? [] : textsAt(object, key, place);
}

/** The lines of a text file, or why it cannot be read. */
function linesOf({ name, length, content }: TarEntry, shard: string): string[] | string {
  const place = `${shard}/${name}`;
  return content ? decodeLines(content, place) : `${place} has ${length} bytes, and at most ${maxTextBytes} are read`;
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
    return new Map(Object.entries((JSON.parse(text) as object | null) ?? {}));
  } catch {
    return `${place} is not JSON`;
  }
}

function textsAt(object: ReadonlyMap<string, unknown>, key: string, place: string): string[] | string {
  return asCaptions(object.get(key)) ?? `${place}: "${key}" must be a string or a list of strings`;
}

/** Captions as a shard has them, one a line; breaks within one are blanks, which is all that a tokenizer makes of them. */
export function captionBytes(captions: readonly string[]): Uint8Array {
  return new TextEncoder().encode(captions.map((caption) => `${caption.replace(/\s+/g, " ")}\n`).join(""));
}
