import sharp from "sharp";
import { Random } from "../../../core/random.ts";
import { augmentImage, type AugmentConfig } from "../../../inputs/image/augment.ts";
import { centerSquare, shortestSideSize } from "../../../inputs/image/crop.ts";
import type { PreprocessConfig } from "../../../inputs/image/preprocess-config.ts";
import { squarePixels } from "../../../inputs/image/preprocess.ts";
import type { RasterImage } from "../../../inputs/image/raster-image.ts";
import { resample } from "../../../inputs/image/resample.ts";
import { Moved, serve } from "../../../engine/threads/serve.ts";
import { makeTokenizer } from "../../../inputs/text/make-tokenizer.ts";
import type { TextTokenizer, TokenizerSource } from "../../../inputs/text/tokenizer.ts";
import type { SkippedImage } from "../../../inputs/data/image-files.ts";
import { type ImageLocation, orSkipped, readImageAtOnce } from "../../../inputs/data/image-location.ts";
import type { SyntheticDraw } from "./synthetic-captions.ts";
import { asCaption, type PairPixels, type SyntheticTensors } from "./pair-tensors.ts";

/** Settings of a worker, sent once. */
export interface DataWorkerSetup {
  readonly preprocess: PreprocessConfig;
  readonly augment: AugmentConfig | undefined;
  readonly tokenizer: TokenizerSource;
  readonly contextLength: number;
  /** Tokens of a synthetic caption that the decoder writes; 0 without a decoder. */
  readonly captionLength: number;
  readonly cacheBytes: number;
  readonly maxImagePixels: number | undefined;
}

/** One row of a batch. */
export interface RowRequest {
  readonly image: ImageLocation;
  readonly caption: string;
  /** With the objective of synthetic captions. */
  readonly synthetic?: SyntheticDraw | undefined;
  /** Key of {@link Random}. */
  readonly augmentationKey: readonly number[];
}

type SyntheticRows = Omit<SyntheticTensors, "captionGroup">;

/** The requested rows, in order; the pixels of broken images are 0. */
export interface DataRows extends Omit<PairPixels, "captionGroup" | "synthetic"> {
  /** The weight of each written token is 1, of padding 0. */
  readonly synthetic?: SyntheticRows | undefined;
  readonly broken: readonly { readonly row: number; readonly reason: string }[];
  readonly decodedImages: number;
  readonly truncatedCaptions: number;
}

let setup: DataWorkerSetup;
let tokenizer: TextTokenizer;
/** Working copies by name. Nothing is evicted: every epoch needs every image once, so all entries are equally useful. */
const cache = new Map<string, RasterImage>();
let cachedBytes = 0;
let decodedImages = 0;

// For the whole process: more threads per image would take cores from the training step, and no image is decoded twice in a row.
sharp.concurrency(1);
sharp.cache(false);

const methods = {
  create(given: DataWorkerSetup): void {
    setup = given;
    tokenizer = makeTokenizer(given.tokenizer);
  },

  async makeRows(rows: readonly RowRequest[]): Promise<Moved<DataRows>> {
    const { contextLength, preprocess } = setup;
    const rowLength = 3 * preprocess.imageSize ** 2;
    const pixels = new Uint8Array(rows.length * rowLength);
    const broken: { row: number; reason: string }[] = [];
    const decodedBefore = decodedImages;
    // sharp decodes on its own threads: the next image is decoded while this one is augmented.
    let next = rows[0] && loadImage(rows[0].image);
    for (const [row, { augmentationKey }] of rows.entries()) {
      const image = await next!;
      next = rows[row + 1] && loadImage(rows[row + 1]!.image);
      if ("reason" in image) broken.push({ row, reason: image.reason });
      else pixels.set(makePixels(image, augmentationKey), row * rowLength);
    }
    const captions = rows.map(({ caption }) => caption);
    const { inputIds, endOfText, truncated } = tokenizer.tokenize(captions, { contextLength, ...asCaption });
    const synthetic = rows[0]?.synthetic && tokenizeSynthetic(rows.map((row) => row.synthetic!));
    const counts = { decodedImages: decodedImages - decodedBefore, truncatedCaptions: truncated.length };
    const made = { pixels, inputIds, endOfText, synthetic, broken, ...counts };
    return new Moved(made, [pixels, inputIds, endOfText, ...Object.values(synthetic ?? {})]);
  },
};

function tokenizeSynthetic(draws: readonly SyntheticDraw[]): SyntheticRows {
  const { contextLength, captionLength } = setup;
  const sentences = draws.map(({ sentence }) => sentence);
  const { inputIds, endOfText } = tokenizer.tokenize(sentences, { contextLength, ...asCaption });
  const places = draws.length * captionLength;
  const writtenIds = new Int32Array(places);
  const tokenWeights = new Float32Array(places);
  if (captionLength === 0) return { inputIds, endOfText, writtenIds, tokenWeights };
  // The start token is not written: each place holds the token after it.
  const length = captionLength + 1;
  const captions = draws.map(({ whole }) => whole);
  const whole = tokenizer.tokenize(captions, { contextLength: length, ...asCaption });
  for (const [row, end] of whole.endOfText.entries()) {
    writtenIds.set(whole.inputIds.subarray(row * length + 1, (row + 1) * length), row * captionLength);
    tokenWeights.fill(1, row * captionLength, row * captionLength + end);
  }
  return { inputIds, endOfText, writtenIds, tokenWeights };
}

/** The calls that a data worker answers. */
export type DataWorkerMethods = typeof methods;

/** The image's working copy; if it is broken, the reason. */
async function loadImage(location: ImageLocation): Promise<RasterImage | SkippedImage> {
  const cached = cache.get(location.image);
  if (cached) return cached;
  return orSkipped(location.image, async () => {
    const image = workingCopy(await readImageAtOnce(location, { maxImagePixels: setup.maxImagePixels }));
    decodedImages++;
    if (cachedBytes + image.pixels.length <= setup.cacheBytes) {
      cache.set(location.image, image);
      cachedBytes += image.pixels.length;
    }
    return image;
  });
}

/**
 * The image as small as training allows: the model's square without augmentation, otherwise at most twice the side length that the
 * closest crop needs.
 */
function workingCopy(image: RasterImage): RasterImage {
  const { augment, preprocess } = setup;
  const { imageSize, resample: filter } = preprocess;
  if (!augment) {
    const size = shortestSideSize(image, imageSize);
    return resample(image, size, centerSquare(size, imageSize), filter);
  }
  const { geometry } = augment;
  const zoom = geometry.kind === "randomResizedCrop" ? 1 / Math.sqrt(geometry.area[0]) : geometry.scale[1];
  const shortest = Math.ceil(2 * imageSize * zoom);
  if (Math.min(image.width, image.height) <= shortest) return image;
  const size = shortestSideSize(image, shortest);
  return resample(image, size, { left: 0, top: 0, ...size }, filter);
}

function makePixels(image: RasterImage, augmentationKey: readonly number[]): Uint8Array {
  const { augment, preprocess } = setup;
  if (!augment) return squarePixels(image, preprocess);
  return augmentImage(image, preprocess.imageSize, augment, new Random(...augmentationKey));
}

serve(methods);
