import { stat } from "node:fs/promises";
import { extname, join, resolve } from "node:path";
import { ClipError, problemOf } from "../../core/errors.ts";
import {
  checkKind,
  checkOptions,
  either,
  listOf,
  numberFrom,
  type OptionKinds,
  record,
  text,
  withoutKinds,
} from "../../core/options.ts";
import { listFolder } from "./folders.ts";
import { expandBraces } from "./sources/braces.ts";
import { readFolder } from "./sources/folder.ts";
import { readParquet } from "./sources/parquet.ts";
import { isAddress, withoutQuery } from "./plain-shard.ts";
import { type ImageLocation, imageLocationOf } from "./image-location.ts";
import { isTableName } from "./table.ts";
import type { SkippedImage } from "./image-files.ts";
import { type Pairs, type Sample, sourceKinds, type SourceOptions } from "./sources/samples.ts";
import { isShardName, readShards } from "./sources/shards.ts";
import { readTable } from "./sources/table.ts";

export interface PairSource extends SourceOptions {
  /** As {@link readPairs} takes it. */
  readonly source: string;
  /** Times each of its images is drawn in an epoch: 2 is twice, 0.5 draws half of them. Default 1. */
  readonly weight?: number | undefined;
}

export const weightedSourceKinds: OptionKinds<PairSource> = {
  ...sourceKinds,
  source: text,
  weight: numberFrom(0),
};

const known =
  "a folder of images or of shards, shards (.tar, .tar.gz; a path, an address or a pattern such as shard-{000..099}.tar), " +
  "or a .csv, .tsv, .jsonl or .parquet file";

/**
 * Reads image-text pairs, in the order of the source:
 *
 * - a folder and its subfolders: `a.jpg` beside `a.txt`, each line a caption; ordered by path. With `classTemplates` the name of an
 *   image's folder is filled into the templates instead;
 * - webdataset shards, `.tar` or `.tar.gz`: paths or addresses, with ranges and alternatives in braces, or a folder of shards.
 *   Downloaded and unpacked shards are kept in `~/.cache/clip-ts/shards`;
 * - `.csv` or `.tsv` with column names in the first line, quoted as in RFC 4180;
 * - `.jsonl`, one object per line; a caption is a string or a list of strings;
 * - `.parquet`, with paths or embedded images.
 *
 * Text is UTF-8. Paths in a file are relative to its folder.
 *
 * With `synthetic` also synthetic captions: a second column, `a.synthetic.txt`, or a second key of the JSON. Images may lack one.
 *
 * @throws {ClipError} `CLIP_DATA` if the source does not exist or has nothing usable, a column is missing, half of the rows or more
 *   are malformed, `synthetic` is set but no synthetic captions exist, or none of a table's first images exists.
 */
export async function readPairs(source: string, options: SourceOptions = {}): Promise<Pairs> {
  checkKind("readPairs: the source", source, text);
  checkOptions("readPairs", options, sourceKinds);
  const path = isAddress(source) ? source : resolve(source);
  const { wanted, pairs } = await readSource(path, options);
  if (options.synthetic && pairs.samples.length > 0 && pairs.samples.every(({ synthetic }) => synthetic === undefined))
    throw new ClipError(
      "CLIP_DATA",
      `${withoutQuery(path)} holds no synthetic captions: expected a column of a table, or a.synthetic.txt or a key of a.json ` +
        "beside an image; set syntheticColumn if they have another name",
    );
  if (pairs.samples.length > 0) return pairs;
  const [first] = pairs.skipped;
  const met = first ? `all ${pairs.skipped.length} were skipped (${first.image}: ${first.reason})` : "there are none";
  const [missing, expected] = options.imagesOnly ? ["images", "some"] : ["training pairs", wanted];
  throw new ClipError("CLIP_DATA", `${withoutQuery(path)} holds no ${missing}: expected ${expected}, but ${met}`);
}

/** How the images of a source are found. */
export type ReadImagesOptions = Omit<SourceOptions, "captionColumn" | "classTemplates">;
const imageLocationKinds: OptionKinds<ReadImagesOptions> = withoutKinds(sourceKinds, "captionColumn", "classTemplates");

/**
 * Reads the images of a source, with or without captions, each once; the sources are those of {@link readPairs}.
 *
 * @throws {ClipError} `CLIP_DATA` as {@link readPairs} does.
 */
export async function readImages(
  source: string,
  options: ReadImagesOptions = {},
): Promise<{ readonly images: readonly ImageLocation[]; readonly skipped: readonly SkippedImage[] }> {
  checkOptions("readImages", options, imageLocationKinds);
  const { samples, skipped } = await readPairs(source, { ...options, imagesOnly: true });
  const images = new Map(samples.map((sample) => [sample.image, imageLocationOf(sample)]));
  return { images: [...images.values()], skipped };
}

/**
 * Reads one or several sources.
 *
 * @param common - defaults for the options of each source.
 * @throws {ClipError} as {@link readPairs}.
 */
export async function readSources(sources: string | readonly PairSource[], common: SourceOptions = {}): Promise<Pairs> {
  checkKind("readSources: the sources", sources, sourcesKind);
  checkOptions("readSources", common, sourceKinds);
  const samples: Sample[] = [];
  const skipped: SkippedImage[] = [];
  const mixture: { count: number; weight: number }[] = [];
  for (const each of typeof sources === "string" ? [{ source: sources }] : sources) {
    checkOptions<PairSource>("readSources", each, weightedSourceKinds, ["source"]);
    const { source, weight = 1, ...own } = each;
    const pairs = await readPairs(source, { ...common, ...own });
    for (const sample of pairs.samples) samples.push(sample);
    for (const skip of pairs.skipped) skipped.push(skip);
    mixture.push({ count: pairs.samples.length, weight });
  }
  return { samples, skipped, mixture };
}

const sourcesKind = either(text, listOf({ ...record, wanted: "{ source, weight }" }));

/** The pairs, and a description of what was expected. */
async function readSource(path: string, options: SourceOptions): Promise<{ wanted: string; pairs: Pairs }> {
  const entry = isAddress(path) ? undefined : await stat(path).catch(() => undefined);
  if (entry?.isDirectory()) return readFolderOrShards(path, options);
  if (isShardName(path)) {
    const shards = entry ? [path] : expandBraces(path);
    return {
      wanted: "images with captions beside them (a.jpg and a.txt or a.json)",
      pairs: await readShards(shards, options),
    };
  }
  if (isAddress(path))
    throw new ClipError("CLIP_DATA", `${withoutQuery(path)}: of addresses only shards are read (.tar, .tar.gz)`);
  if (!entry) {
    await stat(path).catch((cause: unknown) => {
      throw new ClipError("CLIP_DATA", `${path} cannot be opened: ${problemOf(cause)}; name ${known}`, { cause });
    });
  }
  const wanted = "rows below the names";
  if (extname(path).toLowerCase() === ".parquet") return { wanted: "rows", pairs: await readParquet(path, options) };
  if (isTableName(path)) return { wanted, pairs: await readTable(path, options) };
  throw new ClipError("CLIP_DATA", `${path}: expected ${known}`);
}

async function readFolderOrShards(folder: string, options: SourceOptions): Promise<{ wanted: string; pairs: Pairs }> {
  const listing = await listFolder(folder, options);
  const isOwn = (name: string) => !name.includes("/");
  const allShards = listing.others.filter(isShardName);
  const shards = allShards.filter(isOwn);
  const skip = (names: readonly string[], reason: string) =>
    names.map((name) => ({ image: join(folder, name), reason }));
  const nested = skip(
    allShards.filter((name) => !isOwn(name)),
    "it is a shard in a folder of the folder; name that folder",
  );
  if (shards.length > 0) {
    const paths = shards.map((name) => join(folder, name));
    const { samples, skipped } = await readShards(paths, options);
    const loose = skip(listing.images, "it lies beside shards, and only these are read; name a folder without shards");
    return {
      wanted: "images with captions in the shards",
      pairs: { samples, skipped: [...skipped, ...listing.skipped, ...loose, ...nested] },
    };
  }
  const { samples, skipped } = await readFolder(folder, listing, options);
  const wanted = options.classTemplates
    ? "folders of images, each with the name of what they show"
    : "images with captions beside them (a.jpg and a.txt; or, if its folders are classes, set classTemplates: clip-ts data " +
      'check and clip-ts data pack take --class-template "a photo of a {}")';
  return { wanted, pairs: { samples, skipped: [...skipped, ...nested] } };
}
