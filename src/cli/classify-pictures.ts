import { writeFileAtomic } from "../core/atomic-write.ts";
import { ClipError } from "../core/errors.ts";
import { mapInOrder } from "../embedding/index.ts";
import { modelName } from "../hub/index.ts";
import { decodeImage, type DecodeOptions, type RasterImage } from "../image/index.ts";
import {
  type ClassifierOptions,
  type ClipModel,
  defaultTemplates,
  type RankedLabel,
  ZeroShotClassifier,
} from "../zero-shot/index.ts";
import type { CliIo } from "./io.ts";
import { thumbnail } from "./thumbnail.ts";

/** What to do with pictures and labels. */
export interface ClassifyRequest extends Omit<ClassifierOptions, "signal" | "onTruncate">, DecodeOptions {
  /** Paths. */
  readonly images: readonly string[];
  readonly labels: readonly string[];
  /** Labels kept per picture; default all. */
  readonly topK?: number | undefined;
  /** Cut labels that are too long, and say what was cut. */
  readonly truncate?: boolean | undefined;
  /** Where to write a page with the pictures beside their labels. */
  readonly html?: string | undefined;
}

/** The answer for one picture. */
export interface PictureLabels {
  /** The path. */
  readonly image: string;
  /** Best first. */
  readonly labels: readonly RankedLabel[];
}

/** What came out. */
export interface ClassifiedPictures {
  readonly results: readonly PictureLabels[];
  /** How many pictures could not be read; each was reported. */
  readonly failures: number;
}

/**
 * Classifies pictures one after the other. One that cannot be read is reported and left out, unless it is the only one.
 */
export async function classifyPictures(
  clip: ClipModel,
  request: ClassifyRequest,
  io: CliIo,
): Promise<ClassifiedPictures> {
  const {
    images,
    labels,
    topK,
    html,
    templates = defaultTemplates,
    none,
    independent,
    truncate,
    ...decoding
  } = request;
  const { signal } = io;
  const sayCut = (text: string, dropped: string) =>
    io.err(`cut ${JSON.stringify(dropped)} off ${JSON.stringify(text)}`);
  const onTruncate = truncate ? sayCut : undefined;
  for (const label of labels) reportUnknownWords(clip, label, io);
  // Waited for below: meanwhile the first pictures are decoded, and the image tower is compiled.
  const classifier = ZeroShotClassifier.create(clip, labels, { templates, none, independent, signal, onTruncate });
  classifier.catch(() => {});

  const pictures = new Map<string, string>();
  const readable: string[] = [];
  let failures = 0;
  const decode = async (image: string) => {
    try {
      const raster = await decodeImage(image, decoding);
      if (html !== undefined) pictures.set(image, await thumbnail(raster));
      return { image, raster };
    } catch (error) {
      if (!(error instanceof ClipError) || images.length === 1) throw error;
      return { image, error };
    }
  };
  async function* decoded(): AsyncGenerator<RasterImage> {
    for await (const { image, raster, error } of mapInOrder(images, decode)) {
      if (raster) {
        readable.push(image);
        yield raster;
      } else {
        failures++;
        io.err(error.message);
      }
    }
  }
  const results: PictureLabels[] = [];
  for await (const imageEmbed of clip.encodeImages(decoded(), { signal })) {
    results.push({ image: readable[results.length]!, labels: (await classifier).rank(imageEmbed, { topK }) });
    if (images.length > 1) io.progress(`${results.length + failures} of ${images.length} pictures`);
  }
  await classifier;
  if (html !== undefined) {
    const { classifyPage } = await import("../report/index.ts");
    await writeFileAtomic(html, [classifyPage({ results, pictures, model: modelName(clip.path), templates })]);
    io.err(`wrote ${html}`);
  }
  return { results, failures };
}

function reportUnknownWords(clip: ClipModel, label: string, io: CliIo): void {
  const words = clip.unknownWords(label).map((word) => JSON.stringify(word));
  if (words.length === 0) return;
  const known = words.length === 1 ? `${words[0]!} is no word` : `${words.join(", ")} are no words`;
  io.err(`label ${JSON.stringify(label)}: ${known} that this model was trained on; its score may mean little`);
}
