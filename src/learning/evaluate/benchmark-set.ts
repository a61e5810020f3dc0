import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import { homedir } from "node:os";
import { closest, distance } from "fastest-levenshtein";
import { join as joinAddress } from "../../core/addresses.ts";
import { ClipError } from "../../core/errors.ts";
import { exists, readText } from "../../core/files.ts";
import { maxConfigBytes } from "../../core/limits.ts";
import { splitLines } from "../../core/text-file.ts";
import { isAddress, plainShard, withoutQuery } from "../../inputs/data/plain-shard.ts";
import { Sidecars } from "../../inputs/data/sidecars.ts";
import type { TarEntry } from "../../inputs/data/tar.ts";
import { listShard, maxTextBytes } from "../../inputs/data/webdataset.ts";
import { resolveKinds } from "../../model/hub/resolve-kinds.ts";
import { checkKind, checkOptions, type OptionKinds, text, withoutKinds } from "../../core/options.ts";
import { hubToken, hubUrl, offlineByDefault } from "../../model/hub/environment.ts";
import type { FetchOptions } from "../../core/fetch-options.ts";
import { classLines } from "./class-names.ts";
import { type KnownSet, knownSets } from "./known-sets.ts";
import type { LabelledImage } from "../../inputs/data/labelled-images.ts";
import { parseNpy } from "../../inputs/data/npy.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";

/** Files of CLIP_benchmark's layout other than shards. */
const files = {
  classNames: "classnames.txt",
  templates: "zeroshot_classification_templates.txt",
  shardCount: "test/nshards.txt",
};
/** Limit of shards for hostile sets. */
const maxShards = 100_000;

const fetchKinds: OptionKinds<FetchOptions> = withoutKinds(resolveKinds, "files", "onLicence");

export interface SetImages {
  readonly samples: readonly LabelledImage[];
  /** Unusable images, and damaged shards. */
  readonly skipped: readonly SkippedImage[];
}

/**
 * A data set in CLIP_benchmark's layout: class names and templates, one a line, and webdataset shards of test images. Files are
 * fetched when needed, once, into `~/.cache/clip-ts/sets`.
 *
 * @example
 * ```ts
 * const set = await BenchmarkSet.find("cifar10");
 * const classes = (await set.classLines()).map(classLabel);
 * await using clip = await loadClip();
 * const templates = await set.templates();
 * console.log((await evaluateZeroShot(clip, { classes, ...(await set.images(classes.length)) }, { templates })).top1);
 * ```
 */
export class BenchmarkSet {
  /** As given to `find`; an address without its query. */
  readonly name: string;
  /** Location of its files; undefined if nobody publishes them in this layout. */
  readonly source: string | undefined;
  readonly isRemote: boolean;
  readonly known: KnownSet | undefined;
  readonly #root: string | undefined;
  readonly #options: FetchOptions;

  private constructor(name: string, root: string | undefined, known: KnownSet | undefined, options: FetchOptions) {
    [this.name, this.#root, this.known, this.#options] = [name, root, known, options];
    this.source = root === undefined ? undefined : withoutQuery(root);
    this.isRemote = root !== undefined && isAddress(root);
  }

  /**
   * Finds a set; fetches nothing.
   *
   * @param named - one of {@link knownSets}, a folder, or an address.
   * @throws {ClipError} `CLIP_DATA` if the set does not exist.
   */
  static async find(named: string, options: FetchOptions = {}): Promise<BenchmarkSet> {
    checkKind("BenchmarkSet.find: the name", named, text);
    checkOptions("BenchmarkSet.find", options, fetchKinds);
    if (isAddress(named)) return new BenchmarkSet(withoutQuery(named), filesOfPage(named), undefined, options);
    const known = knownSets.find(({ name }) => name === named);
    if (known) return new BenchmarkSet(named, known.repository && hubFiles(known.repository), known, options);
    if (await exists(named)) return new BenchmarkSet(named, resolve(named), undefined, options);
    const names = knownSets.map(({ name }) => name);
    const nearest = closest(named, names);
    const hint = distance(named.toLowerCase(), nearest) <= 3 ? `did you mean "${nearest}"? Known` : "known";
    throw dataError(`there is no folder ${named}, and no data set of that name; ${hint} are ${names.join(", ")}`);
  }

  /**
   * Lines with class names.
   *
   * @throws {ClipError} `CLIP_DATA` if they cannot be read, `CLIP_DOWNLOAD` if they cannot be fetched.
   */
  async classLines(): Promise<string[]> {
    return classLines(await this.#text(files.classNames), this.#placeOf(files.classNames));
  }

  /**
   * The templates, with `{}` for the class name.
   *
   * @throws {ClipError} see {@link classLines}.
   */
  async templates(): Promise<string[]> {
    const lines = splitLines(await this.#text(files.templates)).filter((line) => line.trim() !== "");
    if (lines.length === 0) throw dataError(`${this.#placeOf(files.templates)} is empty`);
    return lines.map((line) => line.replaceAll("{c}", "{}"));
  }

  /**
   * Test images from all shards.
   *
   * @param classCount - number of named classes.
   * @throws {ClipError} as {@link classLines}; `CLIP_DATA` also if an image is of a class that has no name.
   */
  async images(classCount: number): Promise<SetImages> {
    const text = (await this.#text(files.shardCount)).trim();
    const count = /^\d{1,9}$/.test(text) ? Number(text) : 0;
    if (count < 1 || count > maxShards) {
      const place = this.#placeOf(files.shardCount);
      throw dataError(`${place} must be the number of shards, not ${JSON.stringify(text.slice(0, 50))}`);
    }
    const found: { samples: LabelledImage[]; skipped: SkippedImage[] } = { samples: [], skipped: [] };
    for (let i = 0; i < count; i++) {
      const shard = `test/${i}.tar`;
      await collectShard(await this.#file(shard), this.#placeOf(shard), classCount, found);
    }
    if (found.samples.length > 0) return found;
    const [first] = found.skipped;
    const why = first ? `: ${first.image}: ${first.reason}` : " in its shards";
    throw dataError(`${this.name} has no labelled images${why}`);
  }

  /** Location of a file, for messages. */
  #placeOf(path: string): string {
    return `${this.source ?? this.name}/${path}`;
  }

  async #text(path: string): Promise<string> {
    return readText(await this.#file(path), maxConfigBytes);
  }

  /** Local path of a file, fetching it if necessary. */
  async #file(path: string): Promise<string> {
    const root = this.#root;
    if (root === undefined)
      throw dataError(`${this.name} is not published in this layout; provide the contents of ${path} yourself`);
    if (!this.isRemote) return join(root, path);
    const target = join(cacheFolder(root), path);
    if (await exists(target)) return target;
    const { offline = offlineByDefault(), signal, onProgress } = this.#options;
    const place = this.#placeOf(path);
    if (offline)
      throw new ClipError("CLIP_DOWNLOAD", `${place} is not in the cache (${target}), and offline nothing is fetched`);
    const address = joinAddress(root, path);
    const token = root.startsWith(`${hubUrl()}/`) ? await hubToken() : undefined;
    const { download } = await import("../../core/download.ts");
    const onPart: FetchOptions["onProgress"] = (progress) => onProgress?.({ ...progress, url: place });
    try {
      await download(address, target, { token, signal, onProgress: onPart });
    } catch (error) {
      if (!(error instanceof ClipError) || error.code !== "CLIP_DOWNLOAD") throw error;
      throw new ClipError("CLIP_DOWNLOAD", error.message.replaceAll(address, place), { cause: error });
    }
    return target;
  }
}

/** Address of a data set's files on the hub, or on the mirror in HF_ENDPOINT. */
function hubFiles(repository: string, revision = "main"): string {
  return `${hubUrl()}/datasets/${repository}/resolve/${revision}`;
}

/** Translates the address of a hub page, which people copy, to the address of its files. */
function filesOfPage(address: string): string {
  const [, repository, revision] =
    /^https:\/\/huggingface\.co\/datasets\/([^/?#]+\/[^/?#]+)(?:\/tree\/([^/?#]+))?\/?$/.exec(address) ?? [];
  return repository === undefined ? address : hubFiles(repository, revision);
}

/** Cache folder of an address. */
function cacheFolder(root: string): string {
  const key = createHash("sha256").update(root).digest("hex").slice(0, 32);
  return join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "clip-ts", "sets", key);
}

/** Adds the images of a shard with their classes. */
async function collectShard(
  path: string,
  shard: string,
  classCount: number,
  { samples, skipped }: { readonly samples: LabelledImage[]; readonly skipped: SkippedImage[] },
): Promise<void> {
  const { file } = await plainShard(path);
  const listing = await listShard(file, shard, isLabelName);
  for (const skip of listing.skipped) skipped.push(skip);
  const names = listing.images.map(({ name }) => name);
  const others = listing.others.map((entry): [string, TarEntry] => [entry.name, entry]);
  const labelFiles = new Sidecars(names, others);
  for (const { name, offset, length } of listing.images) {
    const image = { image: `${shard}/${name}`, bytes: { file, offset, length } };
    const labels = labelsOf(labelFiles.find(name, [".cls", ".npy"]), shard, classCount);
    if (typeof labels === "string") skipped.push({ image: image.image, reason: labels });
    else for (const label of labels) samples.push({ ...image, label });
  }
  if (listing.damage !== undefined)
    skipped.push({ image: shard, reason: `the rest of the shard is lost: ${listing.damage}` });
}

const isLabelName = (name: string) => /\.(cls|npy)$/i.test(name);

/**
 * Class indices of a sample, from its `.cls` or from the non-zero entries of its `.npy`; or a reason for having none.
 *
 * @throws {ClipError} `CLIP_DATA` if they do not fit the class names.
 */
function labelsOf(entry: TarEntry | undefined, shard: string, classCount: number): number[] | string {
  if (!entry) return "there is no .cls or .npy with its class";
  const place = `${shard}/${entry.name}`;
  if (entry.length > maxTextBytes) return `${place} has ${entry.length} bytes, and at most ${maxTextBytes} are read`;
  const content = entry.content ?? new Uint8Array(0);
  if (/\.npy$/i.test(entry.name)) {
    const { data } = parseNpy(content, place);
    if (data.length !== classCount)
      throw dataError(`${place} has ${data.length} classes, but there are ${classCount} class names`);
    const labels = Array.from(data.keys()).filter((label) => data[label]! > 0);
    return labels.length > 0 ? labels : "it shows none of the classes";
  }
  const text = new TextDecoder().decode(content).trim();
  if (!/^\d{1,9}$/.test(text)) return `${place} is not a class number`;
  if (Number(text) >= classCount)
    throw dataError(`${place} is class ${text}, counted from 0, but there are ${classCount} class names`);
  return [Number(text)];
}

const dataError = (problem: string) => new ClipError("CLIP_DATA", problem);
