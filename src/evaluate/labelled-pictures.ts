import { readdir, stat } from "node:fs/promises";
import { dirname, extname, join, resolve } from "node:path";
import { parse } from "csv-parse/sync";
import { ClipError } from "../core/errors.ts";
import { readText } from "../core/files.ts";

/** Pictures that are each of one class. */
export interface LabelledPictures {
  readonly classes: readonly string[];
  readonly samples: readonly LabelledPicture[];
}

/** A picture's path, and its class by its place among them. */
export interface LabelledPicture {
  readonly image: string;
  readonly label: number;
}

const imageExtensions = new Set([".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".avif", ".svg"]);
/** A table of some million pictures. */
const maxTableBytes = 2 ** 28;

/**
 * Reads pictures with their classes, which come in the order of their names: of a folder the folders in it, with all pictures below
 * each; of a `.csv` the columns `image`, paths relative to its folder, and `label`.
 *
 * @throws {ClipError} `CLIP_DATA` if there is no such source, a class has no picture, or there are fewer than two.
 */
export async function readLabelledPictures(source: string): Promise<LabelledPictures> {
  const path = resolve(source);
  const entry = await stat(path).catch((cause: unknown) => {
    throw new ClipError("CLIP_DATA", `${path} cannot be opened; name a folder of class folders, or a .csv`, { cause });
  });
  const pictures = entry.isDirectory() ? await readClassFolders(path) : await readTable(path);
  const classes = [...new Set(pictures.map(({ name }) => name))].sort();
  if (classes.length < 2) {
    const wanted = entry.isDirectory() ? "a folder in it for each class" : 'different values in the column "label"';
    throw new ClipError("CLIP_DATA", `${path} has pictures of ${classes.length} classes, and needs two: ${wanted}`);
  }
  const labels = new Map(classes.map((name, label) => [name, label]));
  return { classes, samples: pictures.map(({ image, name }) => ({ image, label: labels.get(name)! })) };
}

interface NamedPicture {
  readonly image: string;
  readonly name: string;
}

async function readClassFolders(folder: string): Promise<NamedPicture[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith(".")).map(({ name }) => name);
  const pictures: NamedPicture[] = [];
  for (const name of names.sort()) {
    const files = (await readdir(join(folder, name), { recursive: true })).sort();
    const images = files.filter((file) => imageExtensions.has(extname(file).toLowerCase()));
    if (images.length === 0)
      throw new ClipError("CLIP_DATA", `${join(folder, name)} has no pictures; remove the folder or add some`);
    for (const image of images) pictures.push({ image: join(folder, name, image), name });
  }
  return pictures;
}

async function readTable(path: string): Promise<NamedPicture[]> {
  const text = await readText(path, maxTableBytes);
  let rows: Record<string, string>[];
  try {
    rows = parse(text, { columns: true, bom: true, skip_empty_lines: true, relax_quotes: true });
  } catch (cause) {
    throw new ClipError("CLIP_DATA", `${path} is no table separated by commas: ${(cause as Error).message}`, { cause });
  }
  const columns = Object.keys(rows[0] ?? {});
  const missing = ["image", "label"].find((column) => !columns.includes(column));
  if (missing !== undefined)
    throw new ClipError("CLIP_DATA", `${path} has no column "${missing}"; it has ${columns.join(", ") || "none"}`);
  return rows.map(({ image, label }, i) => {
    if (!image || !label) throw new ClipError("CLIP_DATA", `${path}, row ${i + 1}: image or label is empty`);
    return { image: resolve(dirname(path), image), name: label };
  });
}

/**
 * The same pictures, their classes by their place among others, those of the training pictures.
 *
 * @param source - what they were read from, for the message.
 * @throws {ClipError} `CLIP_DATA` if one of their classes is not among these.
 */
export function relabel(
  { classes, samples }: LabelledPictures,
  wanted: readonly string[],
  source: string,
): LabelledPicture[] {
  const unknown = classes.find((name) => !wanted.includes(name));
  if (unknown !== undefined) {
    const known = wanted.slice(0, 20).join(", ");
    throw new ClipError(
      "CLIP_DATA",
      `${source} has the class ${JSON.stringify(unknown)}; those of training are ${known}`,
    );
  }
  return samples.map(({ image, label }) => ({ image, label: wanted.indexOf(classes[label]!) }));
}
