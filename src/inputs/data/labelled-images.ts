import { stat } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { ClipError, problemOf } from "../../core/errors.ts";
import { abortSignal, checkKind, checkOptions, type OptionKinds, text } from "../../core/options.ts";
import { listFolder } from "./folders.ts";
import type { SkippedImage } from "./image-files.ts";
import { assertSomeExist, baseOf, type ImageLocation, imageOfTable } from "./image-location.ts";
import { imageColumns, isTableName, readTexts } from "./table.ts";

export interface LabelledImages {
  readonly classes: readonly string[];
  /** An image of several classes is listed once for each. */
  readonly samples: readonly LabelledImage[];
  /** Unusable images and rows; images that cannot be decoded are not among them. */
  readonly skipped: readonly SkippedImage[];
}

export interface LabelledOptions {
  /** The folder that a table's paths are relative to, and that all images must be in. Default: the table's folder. */
  readonly images?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

const labelledKinds: OptionKinds<LabelledOptions> = { images: text, signal: abortSignal };

/** An image and the index of its class. */
export interface LabelledImage extends ImageLocation {
  readonly label: number;
}

/**
 * Reads images with their classes, in the order of the source:
 *
 * - a folder of class folders, each with its images and subfolders; hidden folders and folders without images are no classes;
 * - `.csv`, `.tsv` or `.jsonl` with the columns `image` (or `path`, `filepath`), relative to the file's folder, and `label`.
 *
 * Classes are sorted by name, or as numbers if all are whole numbers.
 *
 * @throws {ClipError} `CLIP_DATA` if the source does not exist or has no labelled image.
 */
export async function readLabelledImages(source: string, options: LabelledOptions = {}): Promise<LabelledImages> {
  checkKind("readLabelledImages: the source", source, text);
  checkOptions("readLabelledImages", options, labelledKinds);
  const path = resolve(source);
  const entry = await stat(path).catch((cause: unknown) => {
    throw new ClipError("CLIP_DATA", `cannot read ${path}: ${problemOf(cause)}`, { cause });
  });
  if (!entry.isDirectory() && !isTableName(path))
    throw new ClipError(
      "CLIP_DATA",
      `${path}: expected a folder of class folders, or a .csv, .tsv or .jsonl with image and label`,
    );
  const { labelled, skipped } = await (entry.isDirectory() ? readClassFolders : readLabelTable)(path, options);
  if (labelled.length === 0) {
    const wanted = entry.isDirectory() ? "a folder for each class, with its images in it" : "rows below the names";
    const [first] = skipped;
    const met = first ? `; ${skipped.length} were left out (${first.image}: ${first.reason})` : "";
    throw new ClipError("CLIP_DATA", `${path} holds no labelled images: expected ${wanted}${met}`);
  }
  const classes = sortedClasses(new Set(labelled.map(([, name]) => name)));
  const numbers = new Map(classes.map((name, i) => [name, i]));
  return {
    classes,
    samples: labelled.map(([location, name]) => ({ ...location, label: numbers.get(name)! })),
    skipped,
  };
}

interface Labelled {
  readonly labelled: readonly (readonly [location: ImageLocation, name: string])[];
  readonly skipped: readonly SkippedImage[];
}

async function readClassFolders(folder: string, { signal }: LabelledOptions): Promise<Labelled> {
  const { images, skipped } = await listFolder(folder, { signal });
  const inClass = images.filter((name) => name.includes("/"));
  const labelled = inClass.map((name) => [{ image: join(folder, name) }, name.split("/")[0]!] as const);
  const classes = new Set(labelled.map(([, name]) => name));
  // A class without usable images must not disappear silently.
  const lost = new Set(
    skipped
      .map(({ image }) => relative(folder, image).split(sep))
      .filter((path) => path.length > 1)
      .map(([name]) => name!),
  );
  return {
    labelled,
    skipped: [
      ...skipped,
      ...images
        .filter((name) => !name.includes("/"))
        .map((name) => ({ image: join(folder, name), reason: "it is in no class folder" })),
      ...[...lost]
        .filter((name) => !classes.has(name))
        .map((name) => ({
          image: join(folder, name),
          reason: "it is no class here: none of its images can be used",
        })),
    ],
  };
}

async function readLabelTable(path: string, { images }: LabelledOptions): Promise<Labelled> {
  const { rows, skipped } = await readTexts(path, { image: imageColumns, label: ["label"] });
  const labelled = rows.map(
    ({ place, values }) => [imageOfTable(path, place, values.image, images), values.label] as const,
  );
  await assertSomeExist(
    path,
    labelled.map(([location]) => location),
    baseOf(images),
  );
  return { labelled, skipped };
}

function sortedClasses(names: ReadonlySet<string>): string[] {
  return areNumbers([...names]) ? [...names].sort((a, b) => Number(a) - Number(b)) : [...names].sort();
}

/** Whether all names are whole numbers. */
export function areNumbers(names: readonly string[]): boolean {
  return names.every((name) => /^\d{1,9}$/.test(name));
}

/**
 * Keeps only some classes, to compare with robustness sets that have fewer classes.
 *
 * @param only - names of the classes to keep.
 * @param file - the file that lists them, for the message.
 * @throws {ClipError} `CLIP_DATA` if the data lack one of them.
 */
export function onlyClasses(
  { classes, samples }: Pick<LabelledImages, "classes" | "samples">,
  only: readonly string[],
  file: string,
): Pick<LabelledImages, "classes" | "samples"> {
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

/** An image, or the frames of a video, classified as one. */
export interface Example {
  /** Path of the image, or of the video's folder. */
  readonly name: string;
  readonly images: readonly ImageLocation[];
  /** Indices of its classes. */
  readonly labels: readonly number[];
}

/** Each image once with all its classes; with `videos` the images of a folder are the frames of one video. */
export function examplesOf(samples: readonly LabelledImage[], videos: boolean): Example[] {
  const examples = new Map<string, { name: string; images: Map<string, ImageLocation>; labels: Set<number> }>();
  for (const { label, ...location } of samples) {
    const name = videos ? dirname(location.image) : location.image;
    const example = examples.get(name) ?? { name, images: new Map(), labels: new Set() };
    examples.set(name, example);
    example.images.set(location.image, location);
    example.labels.add(label);
  }
  return [...examples.values()].map(({ name, images, labels }) => ({
    name,
    images: [...images.values()],
    labels: [...labels],
  }));
}

/**
 * Replaces the labels of images by the indices of their classes in another list, such as the training set's.
 *
 * @param source - where the images were read, for the message.
 * @throws {ClipError} `CLIP_DATA` if the list lacks one of their classes.
 */
export function relabel(
  { classes, samples }: Pick<LabelledImages, "classes" | "samples">,
  wanted: readonly string[],
  source: string,
): LabelledImage[] {
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
