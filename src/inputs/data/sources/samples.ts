import type { ImageLocation } from "../image-location.ts";
import type { SkippedImage } from "../image-files.ts";
import { abortSignal, callback, flag, listOf, type OptionKinds, text } from "../../../core/options.ts";
import type { FetchOptions } from "../../../core/fetch-options.ts";
import { fillTemplate } from "../../text/fill-template.ts";

export interface Sample extends ImageLocation {
  /** At least one, none empty. */
  readonly captions: readonly string[];
  /** A long caption written by a model. */
  readonly synthetic?: string;
}

/** The pairs of one or several sources. */
export interface Pairs {
  readonly samples: readonly Sample[];
  /** Images without a usable caption. Broken images show only when they are decoded. */
  readonly skipped: readonly SkippedImage[];
  /** Number of samples and weight of each source, if several were read; the samples are in the order of the sources. */
  readonly mixture?: readonly { readonly count: number; readonly weight: number }[];
}

export interface SourceOptions extends Pick<FetchOptions, "signal" | "onProgress"> {
  /** Default: the first of `image`, `path`, `filepath` that exists. */
  readonly imageColumn?: string | undefined;
  /** Default: the first of `caption`, `title` that exists. */
  readonly captionColumn?: string | undefined;
  /** Folder that holds a table's images; its paths are relative to it. Default: the table's folder. */
  readonly images?: string | undefined;
  /** Read synthetic captions too. */
  readonly synthetic?: boolean | undefined;
  /** Their column, the `x` of `a.x.txt`, or a key of `a.json`. Default: the first of `synthetic`, `re_caption` that exists. */
  readonly syntheticColumn?: string | undefined;
  /** Templates that turn a label into captions at `{}`: the name of an image's folder, or in tables the caption. */
  readonly classTemplates?: readonly string[] | undefined;
  /** Read images without captions. */
  readonly imagesOnly?: boolean | undefined;
}

export const sourceKinds: OptionKinds<SourceOptions> = {
  imageColumn: text,
  images: text,
  captionColumn: text,
  synthetic: flag,
  syntheticColumn: text,
  classTemplates: listOf(text),
  imagesOnly: flag,
  signal: abortSignal,
  onProgress: callback,
};

/** Names of synthetic captions to look for; `re_caption` is Recap-DataComp's. */
export function syntheticColumns({ syntheticColumn }: SourceOptions): readonly string[] {
  return syntheticColumn === undefined ? ["synthetic", "re_caption"] : [syntheticColumn];
}

/** In characters. Longer captions are whole pages in the wrong column. */
const maxCaptionLength = 10_000;
const tooLong = `is longer than ${maxCaptionLength} characters`;

export class PairCollector implements Pairs {
  readonly samples: Sample[] = [];
  readonly skipped: SkippedImage[] = [];

  /**
   * @param found - the captions, or the reason why they cannot be read.
   * @param foundSynthetic - the lines of the synthetic caption, or the reason why they cannot be read.
   */
  add(
    location: ImageLocation,
    found: readonly string[] | string,
    foundSynthetic: readonly string[] | string = [],
  ): void {
    if (typeof found === "string") return this.skip(location.image, found);
    if (typeof foundSynthetic === "string") return this.skip(location.image, foundSynthetic);
    const captions = withoutBlanks(found);
    const synthetic = withoutBlanks(foundSynthetic).join(" ");
    if (captions.length === 0) this.skip(location.image, "its caption is empty");
    else if (captions.some(({ length }) => length > maxCaptionLength))
      this.skip(location.image, `its caption ${tooLong}`);
    else if (synthetic.length > maxCaptionLength) this.skip(location.image, `its synthetic caption ${tooLong}`);
    else this.samples.push({ ...location, captions, ...(synthetic !== "" && { synthetic }) });
  }

  addImage(location: ImageLocation): void {
    this.samples.push({ ...location, captions: [] });
  }

  skip(image: string, reason: string): void {
    this.skipped.push({ image, reason });
  }
}

function withoutBlanks(texts: readonly string[]): string[] {
  return texts.map((text) => text.trim()).filter((text) => text !== "");
}

/** A string or list of strings as a list; undefined for other values. */
export function asCaptions(value: unknown): string[] | undefined {
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list.every((caption) => typeof caption === "string") ? list : undefined;
}

export function fillTemplates(templates: readonly string[], label: string): string[] {
  return templates.map((template) => fillTemplate(template, label));
}

/** The captions of an image in a class folder, or the reason why it has none. */
export function classCaptions(name: string, templates: readonly string[]): string[] | string {
  const folder = name.split(/[\\/]/).at(-2);
  if (folder === undefined) return "it is in no class folder";
  return fillTemplates(templates, folder.replaceAll("_", " "));
}

/** Reasons without names and numbers, with their counts, most frequent first. */
export function countReasons(skipped: readonly SkippedImage[]): { reason: string; count: number }[] {
  const counts = new Map<string, number>();
  for (const { image, reason } of skipped) {
    const stem = image.replace(/\.\w+$/, "");
    const [kind] = reason.replaceAll(new RegExp(`${escapeRegExp(stem)}(\\.\\w+)?`, "g"), "it").split(/[;:(]/);
    const ofText = kind!.trim().replace(/.*not UTF-8$/, "captions that are not UTF-8");
    const plain = ofText.replace(/ \d+/g, " …");
    counts.set(plain, (counts.get(plain) ?? 0) + 1);
  }
  return Array.from(counts, ([reason, count]) => ({ reason, count })).sort((a, b) => b.count - a.count);
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
