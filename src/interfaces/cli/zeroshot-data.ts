import { ClipError } from "../../core/errors.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";
import { onlyClasses, readLabelledImages } from "../../inputs/data/labelled-images.ts";
import { BenchmarkSet } from "../../learning/evaluate/benchmark-set.ts";
import {
  areWordNetIds,
  classLabel,
  classLines,
  nameClasses,
  type NamedImages,
} from "../../learning/evaluate/class-names.ts";
import { type KnownSet } from "../../learning/evaluate/known-sets.ts";
import { defaultTemplates } from "../../model/zero-shot/templates.ts";
import type { CliIo } from "./io.ts";
import { asTemplate, readTemplates, type TemplateOptions } from "./label-options.ts";
import { showDownload } from "./model-options.ts";
import { readLines, readNamedText } from "./text-files.ts";

/** Options of `clip-ts eval zeroshot` that choose its images, labels and templates. */
interface ZeroShotSource extends TemplateOptions {
  /** The images; with `dataset`, the user's copy of its images. */
  readonly data?: string | undefined;
  readonly dataset?: string | undefined;
  readonly labelsFile?: string | undefined;
  readonly only?: string | undefined;
  readonly images?: string | undefined;
  readonly offline?: boolean | undefined;
}

/** Images, the labels of their classes, and templates. */
export interface ZeroShotData {
  readonly name: string;
  readonly images: NamedImages;
  readonly skipped: readonly SkippedImage[];
  readonly templates: readonly string[];
  /** Files or addresses that the labels and templates were read from, if any. */
  readonly labelsFrom: string | undefined;
  readonly templatesFrom: string | undefined;
  /** The data set, if it is one of the paper's. */
  readonly known: KnownSet | undefined;
}

/**
 * Reads the images, labels and templates of a zero-shot evaluation.
 *
 * @throws {ClipError} `CLIP_USAGE` if neither data nor a data set is given.
 */
export async function readZeroShotData(source: ZeroShotSource, io: CliIo): Promise<ZeroShotData> {
  const { data, dataset, templatesFile } = source;
  const given = await readTemplates(source, io);
  const templates = given && { templates: given, templatesFrom: templatesFile };
  const read =
    dataset !== undefined
      ? await readSet(dataset, source, templates === undefined, io)
      : await readOwn(requireData(data), source, io);
  return { ...read, ...templates, images: await keepOnly(read.images, source.only, io) };
}

function requireData(data: string | undefined): string {
  if (data !== undefined) return data;
  throw new ClipError(
    "CLIP_USAGE",
    "give a folder or table of labelled images, or a published data set with --dataset",
  );
}

async function readOwn(data: string, { labelsFile, images }: ZeroShotSource, io: CliIo): Promise<ZeroShotData> {
  const read = await readLabelledImages(data, { images, signal: io.signal });
  const named =
    labelsFile === undefined
      ? { ...read, classes: read.classes.map((name) => name.replaceAll("_", " ")), own: read.classes }
      : nameClasses(read, await readClassLines(labelsFile, io), labelsFile);
  return {
    ...{ name: data, images: named, skipped: read.skipped, known: undefined },
    ...{ labelsFrom: labelsFile, templates: defaultTemplates, templatesFrom: undefined },
  };
}

async function readSet(
  dataset: string,
  { data, labelsFile, images, offline }: ZeroShotSource,
  needsTemplates: boolean,
  io: CliIo,
): Promise<ZeroShotData> {
  const set = await BenchmarkSet.find(dataset, { offline, signal: io.signal, onProgress: showDownload(io) });
  // Before any download.
  if (set.isRemote) io.err(`${set.name} is from ${set.source}; ${licenceOf(set.known)}`);
  const lines = labelsFile === undefined ? await set.classLines() : await readClassLines(labelsFile, io);
  const labelsFrom = labelsFile ?? set.source;
  const about = {
    ...{ labelsFrom, known: set.known, templatesFrom: set.source },
    templates: needsTemplates ? (await set.templates()).map(asTemplate) : [],
  };
  if (data !== undefined) {
    const read = await readLabelledImages(data, { images, signal: io.signal });
    const named = nameClasses(read, lines, labelsFrom ?? dataset, areWordNetIds);
    return { ...about, name: `${set.name} in ${data}`, images: named, skipped: read.skipped };
  }
  const { samples, skipped } = await set.images(lines.length);
  // Classes are numbered by the lines.
  const own = lines.map((_, label) => String(label));
  const named = lines.some((line) => line.includes("\t"))
    ? nameClasses({ classes: own, samples }, lines, labelsFrom ?? dataset)
    : { classes: lines.map(classLabel), own, samples };
  return { ...about, name: set.name, images: named, skipped };
}

const readClassLines = async (file: string, io: CliIo) => classLines(await readNamedText(file, io), file);

async function keepOnly(images: NamedImages, only: string | undefined, io: CliIo): Promise<NamedImages> {
  if (only === undefined) return images;
  const all = { classes: images.own, samples: images.samples };
  const { classes: own, samples } = onlyClasses(all, await readLines(only, io), only);
  return { classes: own.map((name) => images.classes[images.own.indexOf(name)]!), own, samples };
}

const licenceOf = (known: KnownSet | undefined): string =>
  known?.licence === undefined
    ? "see its source for the licence of its images"
    : `its images may be used under ${known.licence}`;
