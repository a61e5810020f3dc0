import { basename } from "node:path/posix";
import type { SkippedImage } from "./image-files.ts";

/**
 * Finds the files that belong to images: the caption of `2024.05.01.jpg` is `2024.05.01.txt`, that of the same stem. Where there is
 * none, webdataset's rule is followed, by which files share the name up to its first dot (`a.seg.png` and `a.txt`), but only where what
 * follows are endings rather than numbers, and the file is not another image's own.
 */
export class Sidecars<File> {
  readonly #files: ReadonlyMap<string, File>;
  readonly #images: readonly string[];
  /** Stems of all images; made when one is asked for. */
  #stems: ReadonlySet<string> | undefined;

  /** Files that are not found, since another's name differs from theirs in the case of its ending alone. */
  readonly hidden: readonly SkippedImage[];

  /** @param files - by their names, with `/` between folders, as those of the images. */
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
   * @param endings - in lower case, with their dots; the first that there is.
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

/** The name without its last ending. Digits after a dot are no ending but a part of a date or a version. */
function stemOf(name: string): string {
  return name.replace(/(?<=[^/])\.[a-z]\w*$/i, "");
}

function withLowerEnding(name: string): string {
  return name.replace(/\.[^./]*$/, (ending) => ending.toLowerCase());
}

/** The name up to the first dot of its last part, as webdataset has it, and the rest. */
function splitKey(name: string): [key: string, rest: string] {
  const file = basename(name);
  const dot = file.indexOf(".", 1);
  const end = dot < 0 ? name.length : name.length - file.length + dot;
  return [name.slice(0, end), name.slice(end)];
}
