import { readdir, readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { problemOf } from "../../core/errors.ts";
import { classCaptions, isImageName, PairCollector, type Pairs, type SourceOptions } from "./samples.ts";
import { decodeLines } from "./text.ts";

/** Caption files read at once. */
const openFiles = 64;

/** Pictures of a folder and the folders in it, by path: with the captions beside them, or those of their class folders. */
export async function readFolder(folder: string, { classTemplates, picturesOnly }: SourceOptions): Promise<Pairs> {
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
    names.forEach((name, i) => collected.add({ image: join(folder, name) }, captions[i]!));
  }
  return collected;
}

/** The captions of the `.txt` beside a picture, or why there are none. */
async function readCaptionFile(image: string): Promise<string[] | string> {
  const path = `${image.slice(0, -extname(image).length)}.txt`;
  try {
    return decodeLines(await readFile(path), path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return "there is no .txt with its captions";
    return `${path} cannot be read: ${problemOf(cause)}`;
  }
}
