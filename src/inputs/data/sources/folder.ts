import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { problemOf } from "../../../core/errors.ts";
import { type FolderListing, listFolder } from "../folders.ts";
import { Sidecars } from "../sidecars.ts";
import { decodeLines } from "../text.ts";
import { maxTextBytes } from "../webdataset.ts";
import { classCaptions, PairCollector, type Pairs, type SourceOptions, syntheticColumns } from "./samples.ts";

/** Caption files read at once. */
const openFiles = 64;

/** Pairs of a folder and its subfolders, by path: captions from files beside the images, or from class folders. */
export async function readFolder(
  folder: string,
  { images, others, skipped }: FolderListing,
  options: SourceOptions,
): Promise<Pairs> {
  const { classTemplates, imagesOnly, signal } = options;
  const collected = new PairCollector();
  for (const { image, reason } of skipped) collected.skip(image, reason);
  if (imagesOnly) {
    for (const name of images) collected.addImage({ image: join(folder, name) });
    return collected;
  }
  const texts = new Sidecars(
    images,
    others.filter((name) => /\.txt$/i.test(name)).map((name) => [name, name]),
  );
  if (!classTemplates) for (const { image, reason } of texts.hidden) collected.skip(join(folder, image), reason);
  /** The lines of the file beside an image, or the reason why they cannot be read; undefined without a file. */
  const linesBeside = async (image: string, endings: readonly string[]) => {
    const file = texts.find(image, endings);
    return file === undefined ? undefined : readLines(join(folder, file));
  };
  for (let start = 0; start < images.length; start += openFiles) {
    signal?.throwIfAborted();
    const names = images.slice(start, start + openFiles);
    const captions = await Promise.all(
      names.map(async (name) =>
        classTemplates
          ? classCaptions(name, classTemplates)
          : ((await linesBeside(name, [".txt"])) ?? "there is no .txt with its captions"),
      ),
    );
    const endings = options.synthetic ? syntheticColumns(options).map((column) => `.${column}.txt`) : [];
    const synthetic = await Promise.all(names.map((name) => linesBeside(name, endings)));
    names.forEach((name, i) => collected.add({ image: join(folder, name) }, captions[i]!, synthetic[i]));
  }
  return collected;
}

/** Whether a folder's subfolders are classes: they have images, and no image has captions beside it. */
export async function isClassFolder(folder: string): Promise<boolean> {
  const { images, others } = await listFolder(folder).catch(() => ({ images: [], others: [] }));
  const texts = new Sidecars(
    images,
    others.map((name) => [name, name]),
  );
  return images.some((name) => name.includes("/")) && images.every((name) => texts.find(name, [".txt"]) === undefined);
}

async function readLines(path: string): Promise<string[] | string> {
  try {
    const { size } = await stat(path);
    if (size > maxTextBytes) return `${path} has ${size} bytes, and at most ${maxTextBytes} are read`;
    return decodeLines(await readFile(path), path);
  } catch (cause) {
    return `${path} cannot be read: ${problemOf(cause)}`;
  }
}
