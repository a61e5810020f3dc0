import { listTar, type TarEntry } from "./tar.ts";
import { asCaptions, classCaptions, isImageName, PairCollector, type Pairs, type SourceOptions } from "./samples.ts";
import { plainShard, withoutQuery } from "./plain-shard.ts";
import { decodeLines } from "./text.ts";

/** Beyond what any camera writes; a picture is read as a whole. */
const maxImageBytes = 2 ** 28;
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
  for (const sample of groupByKey(listing.entries)) {
    for (const { name, offset, length } of sample.filter((entry) => isImageName(entry.name))) {
      const image = `${shard}/${name}`;
      if (length > maxImageBytes)
        collected.skip(image, `it has ${length} bytes, and at most ${maxImageBytes} are read`);
      else if (options.picturesOnly) collected.addPicture({ image, bytes: { file, offset, length } });
      else collected.add({ image, bytes: { file, offset, length } }, captionsOf(name, sample, shard, options));
    }
  }
  const problem = damage ?? listing.damage;
  if (problem !== undefined) collected.skip(shard, `the rest of the shard is lost: ${problem}`);
}

/** The files of each sample, in the order of the samples' first files. */
function groupByKey(entries: readonly TarEntry[]): Iterable<TarEntry[]> {
  const samples = new Map<string, TarEntry[]>();
  for (const entry of entries) {
    const [key] = /^(.*\/)?[^/.]*/.exec(entry.name)!;
    const sample = samples.get(key);
    if (sample) sample.push(entry);
    else samples.set(key, [entry]);
  }
  return samples.values();
}

function captionKind(name: string): "txt" | "json" | undefined {
  return /\.(txt|json)$/.exec(name.toLowerCase())?.[1] as "txt" | "json" | undefined;
}

function captionsOf(
  image: string,
  sample: readonly TarEntry[],
  shard: string,
  { classTemplates, captionColumn }: SourceOptions,
): string[] | string {
  if (classTemplates) return classCaptions(image, classTemplates);
  // Whoever names a key wants the JSON.
  const kinds = captionColumn === undefined ? (["txt", "json"] as const) : (["json"] as const);
  for (const kind of kinds) {
    const entry = sample.find(({ name }) => captionKind(name) === kind);
    if (!entry) continue;
    const place = `${shard}/${entry.name}`;
    if (!entry.content) return `${place} has ${entry.length} bytes, and at most ${maxTextBytes} are read`;
    const lines = decodeLines(entry.content, place);
    if (typeof lines === "string" || kind === "txt") return lines;
    return captionsInJson(lines.join("\n"), place, captionColumn);
  }
  return `there is no ${kinds.map((kind) => `.${kind}`).join(" or ")} with its captions`;
}

function captionsInJson(text: string, place: string, captionColumn: string | undefined): string[] | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return `${place} is not JSON`;
  }
  const keys = captionColumn === undefined ? ["caption", "title"] : [captionColumn];
  const object = new Map(Object.entries(value ?? {}));
  const key = keys.find((name) => object.has(name));
  if (key === undefined)
    return `${place} has no ${keys.map((name) => `"${name}"`).join(" or ")}; it has ${[...object.keys()].slice(0, 20).join(", ")}`;
  return asCaptions(object.get(key)) ?? `${place}: "${key}" must be a string or a list of strings`;
}

/** Captions as a shard has them, one a line; breaks within one are blanks, which is all that a tokenizer makes of them. */
export function captionBytes(captions: readonly string[]): Uint8Array {
  return new TextEncoder().encode(captions.map((caption) => `${caption.replace(/\s+/g, " ")}\n`).join(""));
}
