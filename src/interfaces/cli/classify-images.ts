import { writeFileAtomic } from "../../core/atomic-write.ts";
import type { LazyImage, OnSkip } from "../../model/embedding/image-stream.ts";
import { modelName } from "../../model/hub/cache.ts";
import { type ClassifierOptions, type RankedLabel, ZeroShotClassifier } from "../../model/zero-shot/classifier.ts";
import { type ClipModel } from "../../model/zero-shot/clip.ts";
import { defaultTemplates, noneOfThese } from "../../model/zero-shot/templates.ts";
import { decodeImage } from "../../inputs/image/decode.ts";
import type { ImageArgument } from "./image-arguments.ts";
import type { CliIo } from "./io.ts";
import { thumbnail } from "./thumbnail.ts";

/** What to do with images and labels. */
export interface ClassifyRequest extends Omit<ClassifierOptions, "signal" | "onTruncate"> {
  readonly images: readonly ImageArgument[];
  readonly labels: readonly string[];
  /** Labels kept per image; default all. */
  readonly topK?: number | undefined;
  /** Cut labels that are too long, and say what was cut. */
  readonly truncate?: boolean | undefined;
  /** Where to write a page with the images beside their labels. */
  readonly html?: string | undefined;
}

/** The answer for one image. */
export interface ImageLabels {
  /** The path. */
  readonly image: string;
  /** Best first. */
  readonly labels: readonly RankedLabel[];
}

/** What came out. */
export interface ClassifiedImages {
  readonly results: readonly ImageLabels[];
  /** All labels, in the order in which they were given. */
  readonly labels: readonly string[];
  /** How many images that were named one by one could not be read; each was reported, as those of folders were. */
  readonly failures: number;
}

/**
 * Classifies images one after the other. One that cannot be read is reported and left out, unless it is the only one.
 */
export async function classifyImages(clip: ClipModel, request: ClassifyRequest, io: CliIo): Promise<ClassifiedImages> {
  const { images, labels, topK, html, templates = defaultTemplates, none, multiLabel, truncate } = request;
  const { signal } = io;
  const sayCut = (text: string, dropped: string) =>
    io.err(`cut ${JSON.stringify(dropped)} off ${JSON.stringify(text)}`);
  const onTruncate = truncate ? sayCut : undefined;
  for (const label of labels) reportUnknownWords(clip, label, io);
  // Waited for below: meanwhile the first images are decoded, and the image tower is compiled.
  const classifier = ZeroShotClassifier.create(clip, labels, { templates, none, multiLabel, signal, onTruncate });
  classifier.catch(() => {});

  const thumbnails = new Map<string, string>();
  const shown = images.map(({ name, load, decoding }): LazyImage => ({
    name,
    decoding,
    async load() {
      if (html === undefined) return load();
      const raster = await decodeImage(await load(), decoding);
      thumbnails.set(name, await thumbnail(raster));
      return raster;
    },
  }));
  let failures = 0;
  const onSkip: OnSkip = ({ message }, _, index) => {
    const isNamed = images[index]!.folder === undefined;
    if (isNamed) failures++;
    io.err(isNamed ? message : `left out: ${message}`);
  };
  const results: ImageLabels[] = [];
  let done = 0;
  for await (const imageEmbed of clip.encodeImages(shown, { signal, ...(images.length > 1 && { onSkip }) })) {
    const { name } = images[done++]!;
    if (imageEmbed) results.push({ image: name, labels: (await classifier).rank(imageEmbed, { topK }) });
    if (images.length > 1) io.progress(`${done} of ${images.length} images`);
  }
  const names = [...(await classifier).classNames, ...(none ? [noneOfThese] : [])];
  if (html !== undefined) {
    const { classifyPage } = await import("../report/classify-page.ts");
    await writeFileAtomic(html, [
      classifyPage({ results, labels: names, images: thumbnails, model: modelName(clip.path), templates }),
    ]);
    io.err(`wrote ${html}`);
  }
  return { results, labels: names, failures };
}

function reportUnknownWords(clip: ClipModel, label: string, io: CliIo): void {
  const words = clip.unknownWords(label).map((word) => JSON.stringify(word));
  if (words.length === 0) return;
  const known = words.length === 1 ? `${words[0]!} is no word` : `${words.join(", ")} are no words`;
  io.err(`label ${JSON.stringify(label)}: ${known} that this model was trained on; its score may mean little`);
}
