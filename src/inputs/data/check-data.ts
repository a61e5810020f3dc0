import { createHash } from "node:crypto";
import { abortSignal, callback, checkOptions, type OptionKinds, wholeNumber } from "../../core/options.ts";
import { mapInOrder } from "../../core/streams.ts";
import type { RasterImage } from "../image/raster-image.ts";
import { ClipTokenizer } from "../text/tokenizer.ts";
import { orSkipped, useLocatedImage } from "./image-location.ts";
import type { SkippedImage } from "./image-files.ts";
import { countReasons, type Pairs, type Sample } from "./sources/samples.ts";

export interface CheckOptions {
  /** Tokens that a text tower reads, special tokens included. Default 77. */
  readonly contextLength?: number | undefined;
  readonly maxImagePixels?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of images checked. */
  readonly onProgress?: ((images: number) => void) | undefined;
  /** Called with every readable image and its index; up to four calls run at once, in any order. The raster is valid only during the call. */
  readonly onImage?: ((sample: Sample, index: number, raster: RasterImage) => Promise<void>) | undefined;
}

const checkKinds: OptionKinds<CheckOptions> = {
  contextLength: wholeNumber(2),
  maxImagePixels: wholeNumber(1),
  signal: abortSignal,
  onProgress: callback,
  onImage: callback,
};

/** The distribution of a number. */
export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
  /** Counts in equal intervals from `min` to `max`, both included. */
  readonly bins: readonly number[];
}

/** The contents of a source of pairs. */
export interface DataReport {
  /** Number of usable pairs. */
  readonly pairs: number;
  /** Images without a caption, and broken ones. */
  readonly skipped: readonly SkippedImage[];
  /** The reasons with their counts. */
  readonly reasons: readonly { readonly reason: string; readonly count: number }[];
  /** Of the readable images, in pixels; undefined if there are none. */
  readonly width: Spread | undefined;
  readonly height: Spread | undefined;
  /** Images with the same pixels as an earlier one. */
  readonly repeatedImages: number;
  readonly captions: {
    readonly count: number;
    readonly distinct: number;
    /** Captions of a single image. */
    readonly single: number;
    /** Captions of several images, most frequent first, at most 50. */
    readonly shared: readonly { readonly caption: string; readonly images: number }[];
    /** Lengths in tokens of the published vocabulary, special tokens included. */
    readonly tokens: Spread;
    readonly contextLength: number;
    /** Captions longer than the context, which training truncates. */
    readonly tooLong: number;
  };
  /** Warnings before training. */
  readonly notes: readonly string[];
}

const binCount = 24;
const maxShared = 50;

/** Decodes every image of a source and counts the captions of those that can be used. */
export async function checkData(pairs: Pairs, options: CheckOptions = {}): Promise<DataReport> {
  checkOptions("checkData", options, checkKinds);
  const { contextLength = 77, maxImagePixels, signal, onProgress, onImage } = options;
  const skipped = [...pairs.skipped];
  const sizes = { width: [] as number[], height: [] as number[] };
  const pixelSums = new Set<string>();
  const good: Sample[] = [];
  let looked = 0;
  const look = (index: number) => {
    const sample = pairs.samples[index]!;
    const measure = async (raster: RasterImage) => {
      await onImage?.(sample, index, raster);
      const { width, height, pixels } = raster;
      // Only a digest of the pixels: many images at once would fill the memory.
      const pixelSum = createHash("sha1").update(`${width} `).update(pixels).digest("base64");
      return { sample, width, height, pixelSum };
    };
    return orSkipped(sample.image, () => useLocatedImage(sample, { maxImagePixels, signal }, measure));
  };
  for await (const image of mapInOrder(pairs.samples.keys(), look)) {
    signal?.throwIfAborted();
    looked++;
    onProgress?.(looked);
    if ("reason" in image) {
      skipped.push(image);
      continue;
    }
    good.push(image.sample);
    sizes.width.push(image.width);
    sizes.height.push(image.height);
    pixelSums.add(image.pixelSum);
  }
  const repeatedImages = good.length - pixelSums.size;
  const report = {
    pairs: good.length,
    skipped,
    reasons: countReasons(skipped),
    width: good.length > 0 ? spreadOf(sizes.width) : undefined,
    height: good.length > 0 ? spreadOf(sizes.height) : undefined,
    repeatedImages,
    // Without readable images the captions are still worth a report.
    captions: await readCaptions(good.length > 0 ? good : pairs.samples, contextLength),
  };
  return { ...report, notes: notesOn(report) };
}

async function readCaptions(samples: readonly Sample[], contextLength: number): Promise<DataReport["captions"]> {
  const tokenizer = await ClipTokenizer.published();
  const images = new Map<string, number>();
  for (const { captions } of samples) {
    for (const caption of new Set(captions)) images.set(caption, (images.get(caption) ?? 0) + 1);
  }
  const lengths = new Map(Array.from(images.keys(), (text) => [text, tokenizer.encodeWithSpecialTokens(text).length]));
  const tokens = samples.flatMap(({ captions }) => captions.map((caption) => lengths.get(caption)!));
  const shared = [...images].filter(([, count]) => count > 1).sort(([, a], [, b]) => b - a);
  return {
    count: tokens.length,
    distinct: images.size,
    single: images.size - shared.length,
    shared: shared.slice(0, maxShared).map(([caption, count]) => ({ caption, images: count })),
    tokens: spreadOf(tokens),
    contextLength,
    tooLong: tokens.filter((length) => length > contextLength).length,
  };
}

function spreadOf(values: readonly number[]): Spread {
  const sorted = Float64Array.from(values).sort();
  const [min, max] = [sorted[0]!, sorted.at(-1)!];
  const bins = new Array<number>(Math.min(binCount, max - min + 1)).fill(0);
  for (const value of values) {
    bins[Math.min(bins.length - 1, Math.floor(((value - min) / (max - min || 1)) * bins.length))]!++;
  }
  return { min, median: sorted[sorted.length >> 1]!, max, bins };
}

/** Share of repeated captions, and of skipped images, from which on a note warns. */
const muchShared = 0.2;
const muchSkipped = 0.05;

function notesOn({ pairs, skipped, captions, repeatedImages }: Omit<DataReport, "notes">): string[] {
  const all = pairs + skipped.length;
  const notes: string[] = [];
  if (skipped.length > muchSkipped * all) {
    const share = `${number(skipped.length)} of ${number(all)}`;
    notes.push(`${share} cannot be used; see the reasons before you train on the rest.`);
  }
  if (captions.distinct === 1) {
    notes.push(
      "All images have the same caption: there is nothing to tell apart. If this is one class of several, name the folder that holds " +
        "all of them.",
    );
  } else if (captions.distinct < (1 - muchShared) * captions.count) {
    notes.push(
      `${number(captions.count)} captions are ${number(captions.distinct)} different ones. Pairs with the same caption do not count as ` +
        "wrong answers for each other, but a batch has no more to tell apart than it has different captions.",
    );
  }
  const single = captions.single;
  if (single > 0 && single < captions.distinct / 2)
    notes.push(
      `${number(single)} of ${number(captions.distinct)} captions have one image only, where the others have several.`,
    );
  if (captions.tooLong > 0) {
    const share = `${number(captions.tooLong)} of ${number(captions.count)}`;
    notes.push(`${share} captions are longer than ${captions.contextLength} tokens, and their ends will be cut off.`);
  }
  if (repeatedImages > 0) {
    notes.push(
      `${number(repeatedImages)} images repeat an earlier one, to the pixel; make sure that none is in the validation set too.`,
    );
  }
  return notes;
}

const number = (value: number) => value.toLocaleString("en");
