import { readdir, stat } from "node:fs/promises";
import { dirname, extname, join, resolve, sep } from "node:path";
import { ClipError, problemOf } from "../core/errors.ts";
import { assertSomeExist, type Picture } from "../data/picture.ts";
import { imageColumns, isTableName, readTexts } from "../data/table.ts";
import { imageExtensions } from "../image/extensions.ts";

/** Pictures, and which class each belongs to. */
export interface LabelledPictures {
  readonly classes: readonly string[];
  /** One that shows several classes stands there several times. */
  readonly samples: readonly LabelledPicture[];
}

/** A picture, and the number of its class. */
export interface LabelledPicture extends Picture {
  readonly label: number;
}

/**
 * Reads pictures with their classes, in the order of the source:
 *
 * - a folder of folders: each is a class, with the pictures in it and in folders below; those without a picture, and hidden ones,
 *   are no classes;
 * - `.csv`, `.tsv` or `.jsonl` with the columns `image` (or `path`, `filepath`), a path relative to the file's folder, and `label`.
 *
 * Classes are sorted by name; as numbers if all are whole numbers.
 *
 * @throws {ClipError} `CLIP_DATA` if there is no such source or no labelled picture in it.
 */
export async function readLabelledPictures(source: string): Promise<LabelledPictures> {
  const path = resolve(source);
  const entry = await stat(path).catch((cause: unknown) => {
    throw new ClipError("CLIP_DATA", `cannot read ${path}: ${problemOf(cause)}`, { cause });
  });
  if (!entry.isDirectory() && !isTableName(path))
    throw new ClipError(
      "CLIP_DATA",
      `${path}: expected a folder of class folders, or a .csv, .tsv or .jsonl with image and label`,
    );
  const labelled = entry.isDirectory() ? await readClassFolders(path) : await readLabelTable(path);
  if (labelled.length === 0) {
    const wanted = entry.isDirectory() ? "a folder for each class, with its pictures in it" : "rows below the names";
    throw new ClipError("CLIP_DATA", `${path} holds no labelled pictures: expected ${wanted}`);
  }
  const classes = sortedClasses(new Set(labelled.map(([, name]) => name)));
  const numbers = new Map(classes.map((name, i) => [name, i]));
  return { classes, samples: labelled.map(([image, name]) => ({ image, label: numbers.get(name)! })) };
}

/** Pictures with the names of their classes. */
type Labelled = readonly (readonly [image: string, name: string])[];

async function readClassFolders(folder: string): Promise<Labelled> {
  const images = (await readdir(folder, { recursive: true }))
    .filter((path) => imageExtensions.has(extname(path).toLowerCase()) && dirname(path) !== ".")
    .filter((path) => !path.split(sep).some((name) => name.startsWith(".")));
  return images.sort().map((path) => [join(folder, path), path.split(sep)[0]!]);
}

async function readLabelTable(path: string): Promise<Labelled> {
  const rows = await readTexts(path, { image: imageColumns, label: ["label"] });
  const labelled = rows.map(({ values: { image, label } }) => [resolve(dirname(path), image), label] as const);
  await assertSomeExist(
    path,
    labelled.map(([image]) => ({ image })),
  );
  return labelled;
}

function sortedClasses(names: ReadonlySet<string>): string[] {
  return areNumbers([...names]) ? [...names].sort((a, b) => Number(a) - Number(b)) : [...names].sort();
}

/** Whether classes are called by numbers. */
export function areNumbers(names: readonly string[]): boolean {
  return names.every((name) => /^\d{1,9}$/.test(name));
}

/**
 * The pictures of some classes, which are then the only ones: how robustness sets with fewer classes are compared with the whole.
 *
 * @param only - the classes as the data name them.
 * @param file - where they stand, for the message.
 * @throws {ClipError} `CLIP_DATA` if one is none of the data's classes.
 */
export function onlyClasses(
  { classes, samples }: LabelledPictures,
  only: readonly string[],
  file: string,
): LabelledPictures {
  const unknown = only.find((name) => !classes.includes(name));
  if (unknown !== undefined)
    throw new ClipError(
      "CLIP_DATA",
      `${file} asks for the class ${JSON.stringify(unknown)}; the data have ${classes.slice(0, 20).join(", ")}` +
        (classes.length > 20 ? ", …" : ""),
    );
  const kept = classes.filter((name) => only.includes(name));
  const numbers = classes.map((name) => kept.indexOf(name));
  return {
    classes: kept,
    samples: samples.flatMap((sample) =>
      numbers[sample.label]! < 0 ? [] : { ...sample, label: numbers[sample.label]! },
    ),
  };
}

/** What is named as one: a picture, or the frames of a clip. */
export interface Example {
  /** Path of the picture, or of the clip's folder. */
  readonly name: string;
  readonly pictures: readonly Picture[];
  /** Numbers of all classes that it shows. */
  readonly labels: readonly number[];
}

/** Each picture once with all its classes; with `clips` those of a folder together, as the frames of one clip. */
export function examplesOf(samples: readonly LabelledPicture[], clips: boolean): Example[] {
  const examples = new Map<string, { name: string; pictures: Map<string, Picture>; labels: Set<number> }>();
  for (const { label, ...picture } of samples) {
    const name = clips ? dirname(picture.image) : picture.image;
    const example = examples.get(name) ?? { name, pictures: new Map(), labels: new Set() };
    examples.set(name, example);
    example.pictures.set(picture.image, picture);
    example.labels.add(label);
  }
  return [...examples.values()].map(({ name, pictures, labels }) => ({
    ...{ name, pictures: [...pictures.values()], labels: [...labels] },
  }));
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
  return samples.map((sample) => ({ ...sample, label: wanted.indexOf(classes[sample.label]!) }));
}
