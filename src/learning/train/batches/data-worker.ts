import sharp from "sharp";
import { ClipError } from "../../../core/errors.ts";
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
import { type ImageLocation, readImageAtOnce } from "../../../inputs/data/image-location.ts";
import { asCaption } from "./caption-tokens.ts";
import type { SyntheticDraw } from "./synthetic-captions.ts";
import type { SyntheticTensors } from "./pair-tensors.ts";

/** What a worker is told once. */
export interface DataWorkerSetup {
  readonly preprocess: PreprocessConfig;
  readonly augment: AugmentConfig | undefined;
  readonly tokenizer: TokenizerSource;
  readonly contextLength: number;
  /** Tokens of a synthetic caption that are to be written; 0 where none is. */
  readonly captionLength: number;
  readonly cacheBytes: number;
  readonly maxImagePixels: number | undefined;
}

/** One row of a batch. */
export interface RowRequest {
  readonly image: ImageLocation;
  readonly caption: string;
  /** Where it is trained with. */
  readonly synthetic?: SyntheticDraw | undefined;
  /** Key of {@link Random}. */
  readonly augmentationKey: readonly number[];
}

type SyntheticRows = Omit<SyntheticTensors, "captionGroup">;

/** The rows asked for, in order; those of broken images hold zeros. */
export interface DataRows {
  /** 8-bit RGB [n, S, S, 3]. */
  readonly pixels: Uint8Array;
  readonly inputIds: Int32Array;
  readonly endOfText: Int32Array;
  /** Of each token that is to be written, and no padding, the weight is 1. */
  readonly synthetic?: SyntheticRows | undefined;
  readonly broken: readonly { readonly row: number; readonly reason: string }[];
  readonly decodedImages: number;
  readonly truncatedCaptions: number;
}

let setup: DataWorkerSetup;
let tokenizer: TextTokenizer;
/** Working copies by name. Every epoch asks for every image once, so what is in is as good as what would replace it. */
const cache = new Map<string, RasterImage>();
let cachedBytes = 0;
let decodedImages = 0;

// Both hold for the whole process: more threads for one image would only take the cores from the step, and no
// image is decoded twice in a row.
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
    // sharp decodes on threads of its own: the next image is under way while this one is augmented.
    let next = rows[0] && loadImage(rows[0].image);
    for (const [row, { augmentationKey }] of rows.entries()) {
      const image = await next!;
      next = rows[row + 1] && loadImage(rows[row + 1]!.image);
      if (image instanceof ClipError) broken.push({ row, reason: image.message });
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
  const [writtenIds, tokenWeights] = [new Int32Array(places), new Float32Array(places)];
  if (captionLength === 0) return { inputIds, endOfText, writtenIds, tokenWeights };
  // The mark at the start is not written: each place is to have the token behind it.
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

/** The image's working copy, or why it cannot be used. */
async function loadImage(location: ImageLocation): Promise<RasterImage | ClipError> {
  const cached = cache.get(location.image);
  if (cached) return cached;
  try {
    const image = workingCopy(await readImageAtOnce(location, { maxImagePixels: setup.maxImagePixels }));
    decodedImages++;
    if (cachedBytes + image.pixels.length <= setup.cacheBytes) {
      cache.set(location.image, image);
      cachedBytes += image.pixels.length;
    }
    return image;
  } catch (error) {
    if (error instanceof ClipError) return error;
    throw error;
  }
}

/**
 * As small as the image may be stored without a difference that matters: the model's square when nothing varies it;
 * otherwise no more than twice the pixels along a side that the closest crop needs, so that most are not resized twice.
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
