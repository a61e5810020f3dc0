import { ClipError } from "../../core/errors.ts";
import {
  areWordNetIds,
  classLabel,
  classLines,
  nameClasses,
  type NamedImages,
} from "../../learning/evaluate/class-names.ts";
import { BenchmarkSet } from "../../learning/evaluate/benchmark-set.ts";
import { type KnownSet } from "../../learning/evaluate/known-sets.ts";
import { onlyClasses, readLabelledImages } from "../../inputs/data/labelled-images.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";
import { defaultTemplates } from "../../model/zero-shot/templates.ts";
import { showSkipped } from "./eval-options.ts";
import type { CliIo } from "./io.ts";
import { showDownload } from "./options.ts";
import { readLines, readNamedText } from "./text-files.ts";

/** What `clip-ts eval zeroshot` was asked to name, and by what. */
interface ZeroShotSource {
  readonly data?: string | undefined;
  readonly dataset?: string | undefined;
  /** One's own copy of the data set's images. */
  readonly copy?: string | undefined;
  readonly classes?: string | undefined;
  readonly templates?: string | undefined;
  readonly template?: readonly string[] | undefined;
  readonly only?: string | undefined;
  readonly images?: string | undefined;
  readonly offline?: boolean | undefined;
}

/** Images, the names of their classes, and the sentences that these are put into. */
export interface ZeroShotData {
  /** Where the images are, for people. */
  readonly source: string;
  readonly images: NamedImages;
  readonly templates: readonly string[];
  /** Where names and templates are from, if not from the data or the command line. */
  readonly namesFrom: string | undefined;
  readonly templatesFrom: string | undefined;
  /** The data set, if it is one of the paper's. */
  readonly known: KnownSet | undefined;
  /** What cannot be used; whether an image can be decoded shows when it is. */
  readonly skipped?: readonly SkippedImage[];
}

/**
 * Reads what is to be named: images of one's own, a published data set, or its names and templates with one's own copy of its images.
 *
 * @throws {ClipError} `CLIP_USAGE` if it is not said which; else as the readers of the parts.
 */
export async function readZeroShotData(asked: ZeroShotSource, io: CliIo): Promise<ZeroShotData> {
  const { data, dataset, copy } = asked;
  if (data !== undefined && dataset !== undefined)
    throw new ClipError("CLIP_USAGE", "--data are images of your own, --dataset a published set: give one of them");
  if (dataset === undefined && copy !== undefined)
    throw new ClipError(
      "CLIP_USAGE",
      `name images of your own by --data ${copy}, or the published set that they belong to by --dataset`,
    );
  if (dataset !== undefined) return readSet({ ...asked, dataset }, io);
  if (data === undefined)
    throw new ClipError("CLIP_USAGE", "name images of your own by --data, or a published set by --dataset");
  const read = await readLabelledImages(data, { images: asked.images, signal: io.signal });
  showSkipped(read.skipped, io);
  const { classes } = asked;
  const images =
    classes === undefined
      ? { ...read, classes: read.classes.map((name) => name.replaceAll("_", " ")), own: read.classes }
      : nameClasses(read, await readClassLines(classes, io), classes);
  return {
    ...{ source: data, images: await keepOnly(images, asked.only, io), namesFrom: classes, known: undefined },
    skipped: read.skipped,
    ...((await givenTemplates(asked, io)) ?? { templates: defaultTemplates, templatesFrom: undefined }),
  };
}

async function readSet(asked: ZeroShotSource & { readonly dataset: string }, io: CliIo): Promise<ZeroShotData> {
  const { dataset, copy, classes, offline } = asked;
  const fetching = { offline, signal: io.signal, onProgress: showDownload(io) };
  const set = await BenchmarkSet.find(dataset, fetching);
  // Before anything is fetched.
  if (set.isRemote) io.err(`${set.name} is from ${set.source}; ${licenceOf(set.known)}`);
  const lines = classes === undefined ? await set.classLines() : await readClassLines(classes, io);
  const namesFrom = classes ?? set.source;
  const templates = (await givenTemplates(asked, io)) ?? {
    templates: await set.templates(),
    templatesFrom: set.source,
  };
  const about = { ...templates, namesFrom, known: set.known };
  if (copy !== undefined) {
    const read = await readLabelledImages(copy, { images: asked.images, signal: io.signal });
    showSkipped(read.skipped, io);
    const images = nameClasses(read, lines, namesFrom ?? dataset, areWordNetIds);
    return {
      ...about,
      skipped: read.skipped,
      source: `${set.name} in ${copy}`,
      images: await keepOnly(images, asked.only, io),
    };
  }
  const { samples, skipped } = await set.images(lines.length);
  showSkipped(skipped, io);
  // Labels are the numbers of the lines.
  const own = lines.map((_, label) => String(label));
  const images = lines.some((line) => line.includes("\t"))
    ? nameClasses({ classes: own, samples }, lines, namesFrom ?? dataset)
    : { classes: lines.map(classLabel), own, samples };
  return { ...about, source: set.name, skipped, images: await keepOnly(images, asked.only, io) };
}

const readClassLines = async (file: string, io: CliIo) => classLines(await readNamedText(file, io), file);

/** The templates that were asked for, if they were. */
async function givenTemplates({ templates: file, template }: ZeroShotSource, io: CliIo) {
  if (file !== undefined) return { templates: (await readLines(file, io)).map(ourTemplate), templatesFrom: file };
  return template && { templates: template, templatesFrom: undefined };
}

/** Other tools mark the place with a letter. */
const ourTemplate = (template: string) => template.replaceAll("{c}", "{}");

async function keepOnly(images: NamedImages, only: string | undefined, io: CliIo): Promise<NamedImages> {
  if (only === undefined) return images;
  const { classes: own, samples } = onlyClasses(
    { classes: images.own, samples: images.samples },
    await readLines(only, io),
    only,
  );
  return { classes: own.map((name) => images.classes[images.own.indexOf(name)]!), own, samples };
}

const licenceOf = (known: KnownSet | undefined): string =>
  known?.licence === undefined
    ? "see its source for the licence of its images"
    : `its images may be used under ${known.licence}`;
