import { writeFileAtomic } from "../../core/atomic-write.ts";
import { printable } from "../../core/printable.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";
import { type ImageLocation, readImage } from "../../inputs/data/image-location.ts";
import type { CliIo } from "./io.ts";
import { thumbnail } from "./thumbnail.ts";

/** The JSON document of every command. Shares, accuracies and probabilities are in [0, 1]. */
interface JsonDocument {
  /** As given, or the default; null where no model is loaded. */
  readonly model?: string | readonly string[] | null | undefined;
  /** The input as given. */
  readonly data?: string | readonly string[] | null | undefined;
  readonly results: unknown;
  /** Images or other items, each with its reason. */
  readonly skipped?: readonly { readonly reason: string }[] | undefined;
}

export function printJson({ model = null, data = null, results, skipped = [] }: JsonDocument, io: CliIo): void {
  io.out(JSON.stringify({ model, data, results, skipped }, null, 2));
}

export async function writePage(file: string, page: string, io: CliIo): Promise<void> {
  await writeFileAtomic(file, [page]);
  io.err(`wrote ${file}`);
}

/** Lines about skipped items. */
const shownSkips = 20;

/** Prints skipped items with their reasons, the first ones of many. */
export function showSkipped(skipped: readonly SkippedImage[], io: CliIo): void {
  for (const skip of skipped.slice(0, shownSkips)) io.err(`skipped: ${describeSkip(skip)}`);
  if (skipped.length > shownSkips) io.err(`skipped: ${skipped.length - shownSkips} more`);
}

/** One line with the image and the reason. Most reasons contain the image already. */
export function describeSkip({ image, reason }: SkippedImage): string {
  return printable(reason.includes(image) ? reason : `${image}: ${reason}`);
}

/**
 * Small copies of images as data URLs, for a page.
 *
 * @param shown - paths of the wanted ones among `images`.
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

/** Makes a function of the items done that gives items per second, from the second batch on: models load before the first. */
export function rateAfterStart(): (done: number) => number | undefined {
  let first: { readonly done: number; readonly time: number } | undefined;
  return (done) => {
    const time = performance.now();
    first ??= { done, time };
    // All items of a batch are reported at once.
    return time - first.time < 1000 ? undefined : (1000 * (done - first.done)) / (time - first.time);
  };
}
