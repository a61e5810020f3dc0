import { open, opendir, realpath, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { ClipError, problemOf } from "../../core/errors.ts";
import { sniffedBytes } from "../image/sniff.ts";
import { isLitter, kindByContent, kindByName, type SkippedImage } from "./image-files.ts";

/** The files of a folder and its subfolders, without hidden and system files. Sorted paths relative to the folder, with `/`. */
export interface FolderListing {
  /** Images by name or, if the ending is unknown, by content. */
  readonly images: readonly string[];
  /** All other files. */
  readonly others: readonly string[];
  /** Images in formats that cannot be decoded, and unreadable files and folders. */
  readonly skipped: readonly SkippedImage[];
}

/** Files opened at once. */
const openFiles = 64;
/** Directory entries per read. */
const readEntries = 1024;

/**
 * Lists the images of a folder and its subfolders. Links to folders are followed unless they lead to a parent; each folder is read
 * once, by its own name rather than a link's.
 *
 * @throws {ClipError} `CLIP_DATA` if the folder itself cannot be read; unreadable parts of it are listed as skipped.
 */
export async function listFolder(
  folder: string,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<FolderListing> {
  const root = await realpath(folder).catch((cause: unknown) => {
    throw new ClipError("CLIP_DATA", `${folder} cannot be read: ${problemOf(cause)}`, { cause });
  });
  const walk = new Walk(folder, root, signal);
  await walk.read({ name: "", real: root });
  // Links last: a folder is listed by its own name rather than a link's.
  for (let links = walk.takeLinks(); links.length > 0; links = walk.takeLinks())
    for (const link of links) await walk.follow(link);
  await walk.lookInto();
  return walk.listing();
}

/** A folder's path relative to the root, and its real path. */
interface Place {
  readonly name: string;
  readonly real: string;
}

class Walk {
  readonly #folder: string;
  readonly #root: string;
  readonly #signal: AbortSignal | undefined;
  /** Names of folders by their real paths. */
  readonly #seen = new Map<string, string>();
  #links: Place[] = [];
  readonly #images: string[] = [];
  readonly #others: string[] = [];
  readonly #unknown: string[] = [];
  readonly #skipped: SkippedImage[] = [];

  constructor(folder: string, root: string, signal: AbortSignal | undefined) {
    this.#folder = folder;
    this.#root = root;
    this.#signal = signal;
  }

  /** Reads a folder and its subfolders; links to folders are kept for later. */
  async read(start: Place): Promise<void> {
    for (let open = [start], place = open.pop(); place; place = open.pop()) {
      if (this.#seen.has(place.real)) continue;
      this.#seen.set(place.real, place.name);
      try {
        for await (const entry of await opendir(join(this.#folder, place.name), { bufferSize: readEntries })) {
          this.#signal?.throwIfAborted();
          if (isLitter(entry.name)) continue;
          const name = place.name === "" ? entry.name : `${place.name}/${entry.name}`;
          // Names that are not UTF-8 are decoded with a replacement character, and then do not exist.
          if (entry.name.includes("\ufffd") && !(await this.#exists(name))) continue;
          const inside = { name, real: join(place.real, entry.name) };
          if (entry.isDirectory()) open.push(inside);
          else if (entry.isFile()) this.#add(name);
          else if (entry.isSymbolicLink()) await this.#addLink(inside);
          else this.#skipUnlessOther(name, "it is a pipe, a socket or a device, and no file");
        }
      } catch (cause) {
        this.#signal?.throwIfAborted();
        if (place.real === this.#root)
          throw new ClipError("CLIP_DATA", `${this.#folder} cannot be read: ${problemOf(cause)}`, { cause });
        this.#skip(place.name, `the folder cannot be read: ${problemOf(cause)}`);
      }
    }
  }

  /** The links to folders not followed yet, sorted. */
  takeLinks(): Place[] {
    const links = this.#links.sort((a, b) => (a.name < b.name ? -1 : 1));
    this.#links = [];
    return links;
  }

  async follow({ name, real }: Place): Promise<void> {
    const target = await realpath(real).catch(() => undefined);
    if (target === undefined) return this.#skip(name, "it is a link to a folder that cannot be read");
    const known = this.#seen.get(target);
    // A loop leads to a folder that was read already.
    if (known !== undefined && isWithin(real, target)) return;
    if (known !== undefined)
      return this.#skip(name, `it is a link to ${join(this.#folder, known)}, where its images are read`);
    if (isWithin(this.#root, target)) return this.#skip(name, "it is a link to a folder around this one; not followed");
    await this.read({ name, real: target });
  }

  /** Determines the kind of files with unknown endings. */
  async lookInto(): Promise<void> {
    for (let start = 0; start < this.#unknown.length; start += openFiles) {
      this.#signal?.throwIfAborted();
      await Promise.all(this.#unknown.slice(start, start + openFiles).map((name) => this.#lookAt(name)));
    }
  }

  listing(): FolderListing {
    // By code units, independent of the locale.
    const skipped = this.#skipped.sort((a, b) => (a.image < b.image ? -1 : 1));
    return { images: this.#images.sort(), others: this.#others.sort(), skipped };
  }

  #add(name: string): void {
    const kind = kindByName(name);
    (kind === "image" ? this.#images : kind === "other" ? this.#others : this.#unknown).push(name);
  }

  async #addLink(place: Place): Promise<void> {
    try {
      const target = await stat(join(this.#folder, place.name));
      if (target.isFile()) this.#add(place.name);
      else if (target.isDirectory()) this.#links.push(place);
      else this.#skipUnlessOther(place.name, "it is a link to a pipe, a socket or a device, and to no file");
    } catch (cause) {
      this.#skipUnlessOther(place.name, `it is a link that leads nowhere: ${problemOf(cause)}`);
    }
  }

  async #lookAt(name: string): Promise<void> {
    try {
      const kind = kindByContent(name, await readHead(join(this.#folder, name)));
      if (kind === "image") this.#images.push(name);
      else if (kind === "other") this.#others.push(name);
      else this.#skip(name, kind.reason);
    } catch (cause) {
      this.#skip(name, `it cannot be read: ${problemOf(cause)}`);
    }
  }

  async #exists(name: string): Promise<boolean> {
    const exists = await stat(join(this.#folder, name)).then(
      () => true,
      (cause: NodeJS.ErrnoException) => cause.code !== "ENOENT",
    );
    if (!exists) this.#skip(name, "its name is not UTF-8, or it is gone; rename it");
    return exists;
  }

  #skipUnlessOther(name: string, reason: string): void {
    if (kindByName(name) !== "other") this.#skip(name, reason);
  }

  #skip(name: string, reason: string): void {
    this.#skipped.push({ image: join(this.#folder, name), reason });
  }
}

async function readHead(path: string): Promise<Uint8Array> {
  const file = await open(path, "r");
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(sniffedBytes), 0, sniffedBytes, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** Whether a real path is a folder or inside it. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}
