import { basename, extname } from "node:path";
import { Option } from "@commander-js/extra-typings";
import { writeFileAtomic } from "../../core/atomic-write.ts";
import { ClipError } from "../../core/errors.ts";
import { type ImageLocation, readImage } from "../../inputs/data/image-location.ts";
import { defaultModel } from "../../model/hub/known-models.ts";
import { counted } from "../report/numbers.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";
import { ClipModel } from "../../model/zero-shot/clip.ts";
import type { CliIo } from "./io.ts";
import { modelOption, readChosenModel, repeated } from "./options.ts";
import { describeSkip } from "./terminal.ts";
import { thumbnail } from "./thumbnail.ts";

/** Images that cannot be used are told one by one, up to so many. */
const shownSkips = 20;

/** Options that the evaluations share. */
export const modelsOption = () =>
  new Option(modelOption().flags, `${modelOption().description}; may be repeated`).argParser(repeated);
export const reportOption = () =>
  new Option("--report <file.html>", "write a page with plots and the worst mistakes, and a JSON document beside it");

/** What the models of an evaluation are read with. */
interface ModelsOptions extends Omit<Parameters<typeof readChosenModel>[0], "model"> {
  readonly model?: readonly string[] | undefined;
}

/** What was measured of a model. */
export interface Measured<Scores> {
  /** As it was named. */
  readonly model: string;
  readonly scores: Scores;
}

/** Measures one model after the other; one at a time is in memory. */
export async function measureModels<Scores>(
  options: ModelsOptions,
  io: CliIo,
  measure: (clip: ClipModel, model: string) => Promise<Scores>,
): Promise<Measured<Scores>[]> {
  const measured: Measured<Scores>[] = [];
  for (const named of options.model ?? [undefined]) {
    await using clip = new ClipModel(await readChosenModel({ ...options, model: named }, io));
    const model = named ?? defaultModel;
    measured.push({ model, scores: await measure(clip, model) });
  }
  return measured;
}

/** Says what cannot be used, and why. */
export function showSkipped(skipped: readonly SkippedImage[], io: CliIo): void {
  for (const skip of skipped.slice(0, shownSkips)) io.err(`left out: ${describeSkip(skip)}`);
  if (skipped.length > shownSkips) io.err(`left out: ${skipped.length - shownSkips} more`);
}

/**
 * What was left out of an evaluation: what cannot be used, and the images that cannot be decoded, which are told of here.
 *
 * @param measured - one model or more; no image can be decoded for one of them alone.
 */
export function withBroken(
  skipped: readonly SkippedImage[],
  measured: readonly Measured<{ readonly broken: readonly SkippedImage[] }>[],
  io: CliIo,
): SkippedImage[] {
  const { broken } = measured[0]!.scores;
  showSkipped(broken, io);
  return [...skipped, ...broken];
}

/** Shows how far a model is, and how fast. */
export function progressOf(model: string, noun: string, io: CliIo): (done: number, of: number) => void {
  const rateOf = rateAfterStart();
  return (done, of) => {
    const rate = rateOf(done);
    const speed = rate === undefined ? "" : `, ${rate.toFixed(0)} a second`;
    io.progress(`${basename(model)}  ${done} of ${of} ${noun}${speed}`);
  };
}

/** Says how many captions were too long. */
export function describeCut(cut: number, model: string): string {
  const [have, were] = cut === 1 ? ["has", "was"] : ["have", "were"];
  return `${counted(cut, "caption")} ${have} more tokens than ${model} reads, and ${were} cut`;
}

/** How many are done in a second, from the first batch on: before it a model is read and compiled. */
export function rateAfterStart(): (done: number) => number | undefined {
  let first: { readonly done: number; readonly time: number } | undefined;
  return (done) => {
    const time = performance.now();
    first ??= { done, time };
    // A batch comes all at once.
    return time - first.time < 1000 ? undefined : (1000 * (done - first.done)) / (time - first.time);
  };
}

/**
 * Small copies of images as data URLs, for a page.
 *
 * @param shown - the names of those that are wanted, among all images.
 */
export async function thumbnails(
  shown: Iterable<string>,
  images: readonly ImageLocation[],
  size: number,
): Promise<Map<string, string>> {
  const wanted = new Set(shown);
  const urls = new Map<string, string>();
  for (const image of images)
    if (wanted.delete(image.image)) urls.set(image.image, await thumbnail(await readImage(image), size));
  return urls;
}

/** Writes a page, and beside it a JSON document of the same name. */
export async function writeReport(file: string, page: string, document: unknown, io: CliIo): Promise<void> {
  const beside = `${file.slice(0, file.length - extname(file).length)}.json`;
  if (beside === file) throw new ClipError("CLIP_USAGE", `--report ${file}: a page's name ends in .html`);
  await writeFileAtomic(file, [page]);
  await writeFileAtomic(beside, [JSON.stringify(document, null, 2), "\n"]);
  io.err(`wrote ${file} and ${beside}`);
}
