import { readdir, readFile } from "node:fs/promises";
import { dirname, extname, join } from "node:path";
import { problemOf } from "../../core/errors.ts";
import {
  classCaptions,
  isImageName,
  PairCollector,
  type Pairs,
  type SourceOptions,
  syntheticColumns,
} from "./samples.ts";
import { decodeLines } from "../../data/text.ts";

/** Caption files read at once. */
const openFiles = 64;

/** Pictures of a folder and the folders in it, by path: with the captions beside them, or those of their class folders. */
export async function readFolder(folder: string, options: SourceOptions): Promise<Pairs> {
  const { classTemplates, picturesOnly } = options;
  const entries = await readdir(folder, { recursive: true });
  const images = entries.filter(isImageName).sort();
  const collected = new PairCollector();
  if (picturesOnly) {
    for (const name of images) collected.addPicture({ image: join(folder, name) });
    return collected;
  }
  for (let start = 0; start < images.length; start += openFiles) {
    const names = images.slice(start, start + openFiles);
    const captions = classTemplates
      ? names.map((name) => classCaptions(name, classTemplates))
      : await Promise.all(names.map((name) => readCaptionFile(join(folder, name))));
    const synthetic = await Promise.all(names.map((name) => readSyntheticFile(join(folder, name), options)));
    names.forEach((name, i) => collected.add({ image: join(folder, name) }, captions[i]!, synthetic[i]));
  }
  return collected;
}

/** Whether the folders in a folder are classes: they hold pictures, and none has captions beside it. */
export async function isClassFolder(folder: string): Promise<boolean> {
  const entries = new Set(await readdir(folder, { recursive: true }).catch(() => []));
  const images = [...entries].filter(isImageName);
  return images.some((name) => dirname(name) !== ".") && !images.some((name) => entries.has(captionFile(name)));
}

const captionFile = (image: string) => `${image.slice(0, -extname(image).length)}.txt`;

/** The captions of the `.txt` beside a picture, or why there are none. */
async function readCaptionFile(image: string): Promise<string[] | string> {
  return (await readLines(image, ".txt")) ?? "there is no .txt with its captions";
}

/** The synthetic caption of the `.synthetic.txt` beside a picture, if it is asked for. None is no mistake. */
async function readSyntheticFile(image: string, options: SourceOptions): Promise<string[] | string> {
  for (const column of options.synthetic ? syntheticColumns(options) : []) {
    const lines = await readLines(image, `.${column}.txt`);
    if (lines !== undefined) return lines;
  }
  return [];
}

/** The lines of the file beside a picture with another ending, or why it cannot be read; undefined if it is not there. */
async function readLines(image: string, ending: string): Promise<string[] | string | undefined> {
  const path = `${image.slice(0, -extname(image).length)}${ending}`;
  try {
    return decodeLines(await readFile(path), path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    return `${path} cannot be read: ${problemOf(cause)}`;
  }
}
