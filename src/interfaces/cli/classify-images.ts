import type { SkippedImage } from "../../inputs/data/image-files.ts";
import { useImage } from "../../inputs/image/decode.ts";
import type { LazyImage, OnSkip } from "../../model/embedding/image-stream.ts";
import { modelName } from "../../model/hub/cache.ts";
import { type ClassifierOptions, type RankedLabel, ZeroShotClassifier } from "../../model/zero-shot/classifier.ts";
import { type ClipModel } from "../../model/zero-shot/clip.ts";
import { defaultTemplates, noneOfThese } from "../../model/zero-shot/templates.ts";
import type { ImageArgument } from "./image-arguments.ts";
import type { CliIo } from "./io.ts";
import { reportCut } from "./label-options.ts";
import { showSkipped, writePage } from "./output.ts";
import { thumbnail } from "./thumbnail.ts";

/** Images and labels, and the options of the classification. */
export interface ClassifyRequest extends Omit<ClassifierOptions, "signal" | "onTruncate"> {
  readonly images: readonly ImageArgument[];
  readonly labels: readonly string[];
  /** Labels kept per image; default all. */
  readonly topK?: number | undefined;
  /** Cuts labels that are too long, and reports the cuts. */
  readonly truncate?: boolean | undefined;
  /** The file for a page with the images beside their labels. */
  readonly html?: string | undefined;
}

export interface ClassifiedImages {
  readonly results: readonly {
    readonly image: string;
    /** Best first. */
    readonly labels: readonly RankedLabel[];
  }[];
  /** All labels in the order given. */
  readonly labels: readonly string[];
  readonly skipped: readonly (SkippedImage & { readonly inFolder: boolean })[];
}

/** Classifies images. One that cannot be read is reported and skipped, unless it is the only one. */
export async function classifyImages(clip: ClipModel, request: ClassifyRequest, io: CliIo): Promise<ClassifiedImages> {
  const { images, labels, topK, html, templates = defaultTemplates, none, multiLabel, truncate } = request;
  const { signal } = io;
  for (const label of labels) reportUnknownWords(clip, label, io);
  const onTruncate = truncate ? reportCut(io) : undefined;
  // Awaited below: meanwhile the first images are decoded and the image tower is compiled.
  const classifier = ZeroShotClassifier.create(clip, labels, { templates, none, multiLabel, signal, onTruncate });
  classifier.catch(() => {});

  const thumbnails = new Map<string, string>();
  // For a page an image is decoded twice: pixels that wait for their batch would not count in the memory budget.
  const shown = images.map(({ name, load, decoding }): LazyImage => ({
    ...{ name, decoding },
    async load() {
      const source = await load();
      if (html !== undefined) thumbnails.set(name, await useImage(source, { ...decoding, name }, thumbnail));
      return source;
    },
  }));
  const skipped: (SkippedImage & { readonly inFolder: boolean })[] = [];
  const onSkip: OnSkip = ({ message }, _, index) => {
    const { name, inFolder = false } = images[index]!;
    skipped.push({ image: name, reason: message, inFolder });
    showSkipped(skipped.slice(-1), io);
  };
  const results: { image: string; labels: RankedLabel[] }[] = [];
  let done = 0;
  for await (const imageEmbed of clip.encodeImages(shown, { signal, ...(images.length > 1 && { onSkip }) })) {
    const { name } = images[done++]!;
    if (imageEmbed) results.push({ image: name, labels: (await classifier).rank(imageEmbed, { topK }) });
    if (images.length > 1) io.progress(`${done} of ${images.length} images`);
  }
  const names = [...(await classifier).classNames, ...(none ? [noneOfThese] : [])];
  if (html !== undefined) {
    const { classifyPage } = await import("../report/classify-page.ts");
    const page = { results, labels: names, images: thumbnails, model: modelName(clip.path), templates };
    await writePage(html, classifyPage(page), io);
  }
  return { results, labels: names, skipped };
}

function reportUnknownWords(clip: ClipModel, label: string, io: CliIo): void {
  const words = clip.unknownWords(label).map((word) => JSON.stringify(word));
  if (words.length === 0) return;
  io.err(`label ${JSON.stringify(label)}: the model was not trained on ${words.join(", ")}; its score may mean little`);
}
