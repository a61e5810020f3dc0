import { ClipError } from "../../core/errors.ts";
import { batches } from "../../core/streams.ts";
import { dot } from "../../model/embedding/encoder.ts";
import { recallAtK, truthRank } from "../evaluate/classification-metrics.ts";
import { preprocessImage } from "../../inputs/image/preprocess.ts";
import { type PreprocessConfig } from "../../inputs/image/preprocess-config.ts";
import { type RasterImage } from "../../inputs/image/raster-image.ts";
import type { TextTokenizer } from "../../inputs/text/tokenizer.ts";
import { type ImageLocation, orSkipped, useLocatedImage } from "../../inputs/data/image-location.ts";
import { asCaption } from "./batches/pair-tensors.ts";
import { type Names, namesOfSamples, nameVectors, type NamingOptions } from "./name-vectors.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";
import type { Sample } from "../../inputs/data/sources/samples.ts";
import type { ValidationScores } from "./run-folder.ts";

/** The towers for validation; they return rows of embeddings. */
export interface Towers {
  readonly embedDim: number;
  readonly contextLength: number;
  encodeImages(pixelValues: Float32Array): Promise<Float32Array>;
  encodeTexts(inputIds: Int32Array, endOfText: Int32Array): Promise<Float32Array>;
}

/** A validation image with its own caption and the best ones. */
export interface Prediction extends ImageLocation {
  readonly truth: string;
  /** The best captions, best first, with their similarities. */
  readonly ranked: readonly { readonly label: string; readonly similarity: number }[];
}

const rowsAtOnce = 64;
const shownLabels = 5;

export interface Validation {
  readonly scores: ValidationScores;
  /** One per readable image, in the order of the samples. */
  readonly predictions: readonly Prediction[];
}

interface ValidatorOptions extends NamingOptions {
  readonly tokenizer: TextTokenizer;
  readonly preprocess: PreprocessConfig;
  readonly maxImagePixels?: number | undefined;
}

/** Zero-shot validation: each image must find its own caption among the captions of all. */
export class Validator {
  readonly #names: Names;
  readonly #samples: readonly Sample[];
  readonly #options: ValidatorOptions;
  readonly #broken = new Map<string, SkippedImage>();

  /** @param samples - an image's first caption is its label. */
  constructor(samples: readonly Sample[], options: ValidatorOptions) {
    this.#samples = samples;
    this.#names = namesOfSamples(samples, options);
    this.#options = options;
  }

  /** Broken images found so far; they do not count in the scores. */
  get broken(): readonly SkippedImage[] {
    return [...this.#broken.values()];
  }

  /**
   * Scores all images.
   *
   * @throws {ClipError} `CLIP_DATA` if none of them can be read.
   */
  async validate(towers: Towers): Promise<Validation> {
    const { labels } = this.#names;
    const vectors = await nameVectors(this.#names, this.#textEmbeds(towers));
    const predictions: Prediction[] = [];
    const ranks: number[] = [];
    for await (const { samples, pixelValues } of this.#batches()) {
      const images = rowsOf(await towers.encodeImages(pixelValues), towers.embedDim);
      for (const [i, image] of images.entries()) {
        const { captions, ...location } = samples[i]!;
        const truth = captions[0]!;
        const similarities = vectors.map((vector) => dot(image, vector));
        ranks.push(truthRank(similarities, [labels.indexOf(truth)]));
        const ranked = similarities
          .map((similarity, i) => ({ label: labels[i]!, similarity }))
          .sort((a, b) => b.similarity - a.similarity)
          .slice(0, shownLabels);
        predictions.push({ ...location, truth, ranked });
      }
    }
    const count = predictions.length;
    if (count === 0) {
      const example = `for example ${this.broken[0]!.reason}`;
      throw new ClipError("CLIP_DATA", `none of ${this.#samples.length} validation images can be read; ${example}`);
    }
    const scores = { top1: recallAtK(ranks, 1), top5: recallAtK(ranks, 5), count, classes: labels.length };
    return { scores, predictions };
  }

  /** The embeddings of all sentences. */
  async *#textEmbeds(towers: Towers): AsyncGenerator<Float32Array> {
    const { embedDim, contextLength } = towers;
    for await (const texts of batches(this.#names.sentences.flat(), rowsAtOnce)) {
      const { inputIds, endOfText } = this.#options.tokenizer.tokenize(texts, { contextLength, ...asCaption });
      yield* rowsOf(await towers.encodeTexts(inputIds, endOfText), embedDim);
    }
  }

  /** The readable images in batches. */
  async *#batches(): AsyncGenerator<{ samples: readonly Sample[]; pixelValues: Float32Array }> {
    const { preprocess, maxImagePixels } = this.#options;
    const size = 3 * preprocess.imageSize ** 2;
    const preprocessed = (raster: RasterImage) => preprocessImage(raster, preprocess).pixelValues;
    for await (const rows of batches(this.#samples, rowsAtOnce)) {
      const samples: Sample[] = [];
      const batch = new Float32Array(rowsAtOnce * size);
      for (const sample of rows) {
        const pixelValues = await orSkipped(sample.image, () =>
          useLocatedImage(sample, { maxImagePixels }, preprocessed),
        );
        if ("reason" in pixelValues) this.#broken.set(sample.image, pixelValues);
        else batch.set(pixelValues, (samples.push(sample) - 1) * size);
      }
      if (samples.length > 0) yield { samples, pixelValues: batch.slice(0, samples.length * size) };
    }
  }
}

function rowsOf(matrix: Float32Array, width: number): Float32Array[] {
  return Array.from({ length: matrix.length / width }, (_, i) => matrix.slice(i * width, (i + 1) * width));
}
