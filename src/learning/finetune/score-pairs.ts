import { ClipError } from "../../core/errors.ts";
import { encodeReadable, type ReadOptions } from "../../model/embedding/encode-readable.ts";
import { type ClipEncoder, dot } from "../../model/embedding/encoder.ts";
import { recallAtK, truthRank } from "../evaluate/classification-metrics.ts";
import { namesOfSamples, nameVectors, type NamingOptions } from "../train/name-vectors.ts";
import type { ValidationScores } from "../train/run-folder.ts";
import type { Sample } from "../../inputs/data/sources/samples.ts";

interface ScoreOptions extends Pick<NamingOptions, "areClasses">, ReadOptions {
  /** Called with the number of finished images. */
  readonly onProgress?: ((count: number) => void) | undefined;
}

/**
 * Classifies each image among all captions, like a run's validation, with a saved model. Captions that are too long are
 * truncated.
 *
 * @throws {ClipError} `CLIP_DATA` if no image can be read.
 */
export async function scorePairs(
  encoder: ClipEncoder,
  samples: readonly Sample[],
  { areClasses, onProgress, ...reading }: ScoreOptions,
): Promise<ValidationScores> {
  const names = namesOfSamples(samples, { areClasses, templates: ["{}"] });
  const encoding = { signal: reading.signal, onTruncate: () => undefined };
  const vectors = await nameVectors(names, encoder.encodeTexts(names.sentences.flat(), encoding));
  const ranks: number[] = [];
  for await (const [{ captions }, imageEmbed] of encodeReadable(encoder, samples, reading)) {
    const similarities = vectors.map((vector) => dot(imageEmbed, vector));
    ranks.push(truthRank(similarities, [names.labels.indexOf(captions[0]!)]));
    onProgress?.(ranks.length);
  }
  if (ranks.length === 0) throw new ClipError("CLIP_DATA", `not one of ${samples.length} images can be read`);
  const classes = names.labels.length;
  return { top1: recallAtK(ranks, 1), top5: recallAtK(ranks, 5), count: ranks.length, classes };
}
