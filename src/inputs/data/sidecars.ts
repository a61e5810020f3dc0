import { basename } from "node:path/posix";
import type { SkippedImage } from "./image-files.ts";

/**
 * Finds the files that belong to images, by the same stem: `2024.05.01.jpg` and `2024.05.01.txt`. Otherwise by webdataset's rule, the
 * same name up to its first dot (`a.seg.png` and `a.txt`), unless numbers follow the dot or the file belongs to another image.
 */
export class Sidecars<File> {
  readonly #files: ReadonlyMap<string, File>;
  readonly #images: readonly string[];
  /** Stems of all images, made on demand. */
  #stems: ReadonlySet<string> | undefined;

  /** Files shadowed by another whose name differs only in the case of its ending. */
  readonly hidden: readonly SkippedImage[];

  /** @param files - by name, with `/` between folders like the images. */
  constructor(images: readonly string[], files: Iterable<readonly [name: string, file: File]>) {
    this.#images = images;
    const named = new Map<string, readonly [name: string, file: File]>();
    const hidden: SkippedImage[] = [];
    for (const [name, file] of files) {
      const key = withLowerEnding(name);
      const before = named.get(key)?.[0];
      if (before !== undefined)
        hidden.push({ image: before, reason: `${basename(name)} is read in its place; keep one of the two` });
      named.set(key, [name, file]);
    }
    this.hidden = hidden;
    this.#files = new Map(Array.from(named, ([key, [, file]]) => [key, file]));
  }

  /**
   * The file that belongs to an image.
   *
   * @param endings - in lower case, with dots; the first that exists counts.
   */
  find(image: string, endings: readonly string[]): File | undefined {
    for (const stem of [stemOf(image), image]) {
      const file = this.#at(stem, endings);
      if (file !== undefined) return file;
    }
    const [key, rest] = splitKey(image);
    if (!/^(\.[a-z][\w-]*)+$/i.test(rest)) return undefined;
    this.#stems ??= new Set(this.#images.map(stemOf));
    return this.#stems.has(key) ? undefined : this.#at(key, endings);
  }

  #at(stem: string, endings: readonly string[]): File | undefined {
    for (const ending of endings) {
      const file = this.#files.get(`${stem}${ending}`);
      if (file !== undefined) return file;
    }
    return undefined;
  }
}

/** The name without its last ending. Digits after a dot are part of a date or version, no ending. */
function stemOf(name: string): string {
  return name.replace(/(?<=[^/])\.[a-z]\w*$/i, "");
}

function withLowerEnding(name: string): string {
  return name.replace(/\.[^./]*$/, (ending) => ending.toLowerCase());
}

/** webdataset's key of a file, the name up to the first dot after the last `/`, and the rest. */
function splitKey(name: string): [key: string, rest: string] {
  const file = basename(name);
  const dot = file.indexOf(".", 1);
  const end = dot < 0 ? name.length : name.length - file.length + dot;
  return [name.slice(0, end), name.slice(end)];
}
