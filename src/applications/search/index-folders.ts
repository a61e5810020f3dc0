import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { join, relative, resolve, sep } from "node:path";
import ignore from "ignore";
import { ClipError, problemOf } from "../../core/errors.ts";
import { abortSignal, callback, listOf, type OptionKinds, text, wholeNumber } from "../../core/options.ts";
import { mapInOrder } from "../../core/streams.ts";
import { listFolder } from "../../inputs/data/folders.ts";
import { decodeImage } from "../../inputs/image/decode.ts";
import type { DecodeOptions } from "../../inputs/image/image-source.ts";
import type { RasterImage } from "../../inputs/image/raster-image.ts";
import { rawName, rawPreviews } from "../../inputs/image/raw-preview.ts";
import { readImageFile } from "../../inputs/image/image-file.ts";
import type { ClipEncoder } from "../../model/embedding/encoder.ts";
import type { LazyImage } from "../../model/embedding/image-stream.ts";
import { type ImageDetails, readImageDetails } from "./image-details.ts";
import { perceptualHash } from "./perceptual-hash.ts";
import type { EmbeddedItem, Item, Store, UnreadableFile } from "./store.ts";

/** How folders are indexed. */
export interface IndexOptions {
  /** Patterns of files and folders to leave out, as in a `.gitignore`, relative to the indexed folder. */
  readonly exclude?: readonly string[] | undefined;
  /** Largest width × height of an image; larger ones are listed as unreadable. */
  readonly maxImagePixels?: number | undefined;
  /** Called after each image, and after each file that did not need to be embedded. */
  readonly onProgress?: ((progress: IndexProgress) => void) | undefined;
  /** Stops after the current batch; everything embedded until then is kept. */
  readonly signal?: AbortSignal | undefined;
}

export const indexKinds: OptionKinds<IndexOptions> = {
  ...{ exclude: listOf(text), maxImagePixels: wholeNumber(1), onProgress: callback, signal: abortSignal },
};

/** The state of an indexing. */
export interface IndexProgress {
  /** Files that are finished, and all new or changed files. */
  readonly done: number;
  readonly of: number;
  /** Estimate; undefined before the first image. */
  readonly secondsLeft: number | undefined;
}

/** What an indexing did, in files. */
export interface IndexSummary {
  readonly embedded: number;
  /** Renamed, copied or touched files, whose content was indexed before. */
  readonly reused: number;
  readonly unchanged: number;
  /** Files that are gone. */
  readonly removed: number;
  readonly unreadable: readonly UnreadableFile[];
  /** Folders that were indexed before and are missing or empty now, such as an unmounted drive; their images are kept. */
  readonly offline: readonly string[];
}

/** A file that is found in a folder. */
type FoundFile = Pick<Item, "path" | "bytes" | "modified">;

/** Embedded images are written together: each transaction waits for the disk. */
const commitItems = 64;
const commitMs = 2000;
/** Files whose size is asked for at once. */
const statsAtOnce = 64;

/**
 * Brings an index up to date with folders: embeds new and changed images, reuses the vectors of renamed and copied ones, and
 * removes those that are gone. What is written stays if it is stopped or killed, and the next call continues.
 *
 * @throws {ClipError} `CLIP_DATA` if a folder was never indexed and cannot be read.
 */
export async function indexFolders(
  store: Store,
  encoder: ClipEncoder,
  folders: readonly string[],
  options: IndexOptions = {},
): Promise<IndexSummary> {
  const total = { unchanged: 0, removed: 0 };
  const gone: string[] = [];
  const unreadable: UnreadableFile[] = [];
  const offline: string[] = [];
  const todo: FoundFile[] = [];
  for (const folder of folders.map(toSlashes)) {
    const known = await knownFiles(store, folder);
    const found = await findFiles(folder, known.size > 0, options);
    if (!found) {
      offline.push(folder);
      continue;
    }
    unreadable.push(...found.unreadable);
    for (const file of found.files) {
      const before = known.get(file.path);
      if (!isSame(before, file)) todo.push(file);
      else if (before?.reason === undefined) total.unchanged++;
      else unreadable.push({ ...file, reason: before.reason });
    }
    const present = new Set([...found.files, ...found.unreadable].map(({ path }) => path));
    gone.push(...[...known.keys()].filter((path) => !present.has(path)));
  }
  await store.upsert([], unreadable);
  const embedding = new Embedding(store, encoder, todo, options);
  await embedding.run();
  // Last, so that a renamed file finds its vectors.
  await store.remove(gone);
  total.removed = gone.length;
  return { ...total, ...embedding.counts, unreadable: [...unreadable, ...embedding.unreadable], offline };
}

/** A file of the index; with a reason if it is unreadable. */
interface KnownFile extends FoundFile {
  readonly reason?: string | undefined;
}

/** Items and unreadable files of a folder, by path. */
async function knownFiles(store: Store, folder: string): Promise<Map<string, KnownFile>> {
  const known = new Map<string, KnownFile>();
  const add = ({ path, bytes, modified, reason }: KnownFile) => {
    if (path.startsWith(`${folder}/`)) known.set(path, { path, bytes, modified, reason });
  };
  for await (const item of store.items()) if (item.kind === "image") add(item);
  for await (const file of store.unreadable()) add(file);
  return known;
}

/** The images of a folder, and those that cannot be decoded; undefined if it was indexed before and is not there now. */
async function findFiles(folder: string, wasIndexed: boolean, { exclude = [], signal }: IndexOptions) {
  const listing = await listFolder(folder, { signal }).catch((error: unknown) => {
    if (wasIndexed && error instanceof ClipError && error.code === "CLIP_DATA") return undefined;
    throw error;
  });
  // The mount point of a drive stays as an empty folder.
  if (!listing || (wasIndexed && listing.images.length + listing.others.length + listing.skipped.length === 0))
    return undefined;
  const excluded = ignore().add([...exclude]);
  const wanted = (name: string) => !excluded.ignores(name);
  const files: FoundFile[] = [];
  const unreadable: UnreadableFile[] = [];
  const nameOf = (path: string) => relative(folder, path).replaceAll(sep, "/") || ".";
  const raws = listing.skipped.map(({ image }) => nameOf(image)).filter((name) => rawName.test(name));
  const stems = new Set(listing.images.map(stemOf));
  // A raw file beside its JPEG is the same picture.
  const names = [...listing.images, ...raws.filter((name) => !stems.has(stemOf(name)))].filter(wanted);
  for (let at = 0; at < names.length; at += statsAtOnce) {
    signal?.throwIfAborted();
    const some = names.slice(at, at + statsAtOnce).map((name) => join(folder, name));
    for (const entry of await Promise.all(some.map(describeFile)))
      if ("reason" in entry) unreadable.push(entry);
      else files.push(entry);
  }
  for (const { image, reason } of listing.skipped)
    if (!rawName.test(image) && (nameOf(image) === "." || wanted(nameOf(image))))
      unreadable.push({ path: toSlashes(image), bytes: 0, modified: 0, reason });
  return { files, unreadable };
}

/** A path without its ending. */
const stemOf = (name: string): string => name.replace(/\.[^./]*$/, "").toLowerCase();

async function describeFile(path: string): Promise<FoundFile | UnreadableFile> {
  try {
    const { size, mtimeMs } = await stat(path);
    return { path: toSlashes(path), bytes: size, modified: mtimeMs };
  } catch (cause) {
    return { path: toSlashes(path), bytes: 0, modified: 0, reason: problemOf(cause) };
  }
}

const isSame = (known: KnownFile | undefined, found: FoundFile): boolean =>
  known?.bytes === found.bytes && known.modified === found.modified;

/** An absolute path as the index has it. */
const toSlashes = (path: string): string => {
  const whole = resolve(path);
  return sep === "/" ? whole : whole.replaceAll(sep, "/");
};

/** An image on its way through the encoder. */
interface Pending extends FoundFile {
  readonly hash: string;
  /** Set when it is decoded. */
  decoded?: ImageDetails & Pick<Item, "perceptualHash">;
}

/** Embeds files, and writes them to the store in batches. */
class Embedding {
  readonly counts = { embedded: 0, reused: 0 };
  readonly unreadable: UnreadableFile[] = [];
  readonly #store: Store;
  readonly #encoder: ClipEncoder;
  readonly #files: readonly FoundFile[];
  readonly #options: IndexOptions;
  /** In the order in which the encoder gets them. */
  readonly #pending: Pending[] = [];
  #items: EmbeddedItem[] = [];
  #failed: UnreadableFile[] = [];
  #done = 0;
  #committed = performance.now();
  #started: number | undefined;

  constructor(store: Store, encoder: ClipEncoder, files: readonly FoundFile[], options: IndexOptions) {
    this.#store = store;
    this.#encoder = encoder;
    this.#files = files;
    this.#options = options;
  }

  async run(): Promise<void> {
    const { signal } = this.#options;
    let reason = "";
    const onSkip = (error: ClipError) => (reason = error.message);
    try {
      for await (const vector of this.#encoder.encodeImages(this.#images(), { signal, onSkip })) {
        const { decoded, ...file } = this.#pending.shift()!;
        if (vector) {
          this.#items.push({ item: { kind: "image", ...file, ...decoded }, views: [{ vector }] });
          this.counts.embedded++;
        } else this.#fail(file, reason);
        await this.#finish();
      }
    } finally {
      await this.#commit();
    }
  }

  /** The images that the encoder has to see. */
  async *#images(): AsyncGenerator<LazyImage> {
    for await (const { file, bytes, hash, problem } of mapInOrder(this.#files, readFile)) {
      this.#options.signal?.throwIfAborted();
      if (problem !== undefined) this.#fail(file, problem);
      else if (!(await this.#reuse(file, hash))) {
        const pending: Pending = { ...file, hash };
        this.#pending.push(pending);
        this.#started ??= performance.now();
        yield { name: file.path, load: () => this.#decode(pending, bytes) };
        continue;
      }
      await this.#finish();
    }
  }

  /** Takes over the vectors of a file with the same content. */
  async #reuse(file: FoundFile, hash: string): Promise<boolean> {
    const same = this.#items.find(({ item }) => item.hash === hash) ?? (await this.#store.withHash(hash));
    if (!same) return false;
    this.#items.push({ item: { ...same.item, ...file }, views: same.views });
    this.counts.reused++;
    return true;
  }

  async #decode(pending: Pending, bytes: Uint8Array) {
    const { maxImagePixels, signal } = this.#options;
    const decoding = { name: pending.path, maxImagePixels, signal };
    const raster = rawName.test(pending.path)
      ? await decodePreview(bytes, decoding)
      : await decodeImage(bytes, decoding);
    pending.decoded = {
      ...(await readImageDetails(bytes, rawName.test(pending.path))),
      perceptualHash: perceptualHash(raster),
    };
    return raster;
  }

  #fail({ path, bytes, modified }: FoundFile, reason: string): void {
    this.#failed.push({ path, bytes, modified, reason });
  }

  async #finish(): Promise<void> {
    this.#done++;
    const { onProgress } = this.#options;
    const of = this.#files.length;
    const elapsed = this.#started === undefined ? undefined : (performance.now() - this.#started) / 1000;
    onProgress?.({ done: this.#done, of, secondsLeft: elapsed && (elapsed * (of - this.#done)) / this.#done });
    const waiting = this.#items.length + this.#failed.length;
    if (waiting >= commitItems || performance.now() - this.#committed > commitMs) await this.#commit();
  }

  async #commit(): Promise<void> {
    const [items, failed] = [this.#items, this.#failed];
    this.#items = [];
    this.#failed = [];
    if (items.length + failed.length > 0) await this.#store.upsert(items, failed);
    this.unreadable.push(...failed);
    this.#committed = performance.now();
  }
}

/** The largest preview of a camera raw file that can be decoded. */
async function decodePreview(bytes: Uint8Array, decoding: DecodeOptions): Promise<RasterImage> {
  for (const preview of rawPreviews(bytes)) {
    const raster = await decodeImage(preview, decoding).catch(() => undefined);
    if (raster) return raster;
  }
  throw new ClipError("CLIP_IMAGE", `${decoding.name} is a camera raw file without a preview that can be decoded`);
}

interface ReadFile {
  readonly file: FoundFile;
  readonly bytes: Uint8Array;
  readonly hash: string;
  readonly problem?: string;
}

async function readFile(file: FoundFile): Promise<ReadFile> {
  try {
    const bytes = await readImageFile(file.path);
    const after = await describeFile(file.path);
    // Its size and time do not match its content, so the next call reads it again.
    if (!isSame(after, file))
      throw new ClipError("CLIP_IMAGE", `${file.path} changed while it was read; index it again`);
    return { file, bytes, hash: createHash("sha256").update(bytes).digest("hex") };
  } catch (error) {
    if (!(error instanceof ClipError)) throw error;
    return { file: { ...file, modified: 0 }, bytes: new Uint8Array(), hash: "", problem: error.message };
  }
}
