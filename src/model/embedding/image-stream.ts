import { ClipError } from "../../core/errors.ts";
import { abortSignal, callback, checkKind, type OptionKinds, wholeNumber } from "../../core/options.ts";
import { mapInOrder, type Source } from "../../core/streams.ts";
import { useImage } from "../../inputs/image/decode.ts";
import { decodeKinds, type DecodeOptions, imageKind, type ImageSource } from "../../inputs/image/image-source.ts";
import type { PreprocessConfig } from "../../inputs/image/preprocess-config.ts";
import { preprocessImage } from "../../inputs/image/preprocess.ts";
import type { RasterImage } from "../../inputs/image/raster-image.ts";

/** How a stream is encoded. */
export interface EncodeOptions {
  /**
   * How many are encoded at once. Memory grows with it; speed hardly, beyond the default: 16, of images fewer if a batch of them would
   * take more than 256 MiB.
   */
  readonly batchSize?: number | undefined;
  /** Stops between batches. */
  readonly signal?: AbortSignal | undefined;
}

/** An image that is read when its turn comes, from wherever it lies. */
export interface LazyImage {
  /** What errors call it. */
  readonly name: string;
  /** Its path, its bytes or the like: pixels that are decoded already are outside of the limit of memory for images. */
  readonly load: () => ImageSource | Promise<ImageSource>;
  /** How it is decoded, where that differs from the rest of the stream. */
  readonly decoding?: DecodeOptions | undefined;
}

/** How images are read and encoded. */
export interface EncodeImageOptions extends EncodeOptions, DecodeOptions {
  /**
   * Is told of each image that cannot be read, in order. The stream then goes on, and yields `undefined` in that image's
   * place, so that vector i is always of image i. Without it the first such image ends the stream with its error.
   */
  readonly onSkip?: OnSkip | undefined;
}

/** @param index - the image's place in the source, from 0. */
export type OnSkip = (error: ClipError, image: ImageSource | LazyImage, index: number) => void;

export const encodeKinds: OptionKinds<EncodeOptions> = { batchSize: wholeNumber(1), signal: abortSignal };
export const encodeImageKinds: OptionKinds<EncodeImageOptions> = { ...encodeKinds, ...decodeKinds, onSkip: callback };
/** An image of a stream: its pixel values, or the error if it may be skipped. */
export interface PreparedImage {
  readonly image: ImageSource | LazyImage;
  readonly index: number;
  readonly pixelValues?: Float32Array;
  readonly error?: ClipError;
}

/** Reads and preprocesses images in order, four at a time. With `maySkip` an unreadable image yields its error. */
export function prepareImages(
  images: Source<ImageSource | LazyImage>,
  preprocess: PreprocessConfig,
  decoding: DecodeOptions,
  maySkip: boolean,
): AsyncGenerator<PreparedImage> {
  let count = 0;
  return mapInOrder(images, async (image): Promise<PreparedImage> => {
    const index = count++;
    checkKind(`image ${index}`, image, imageKind);
    try {
      const [source, options] = isLazy(image)
        ? [await load(image), { ...decoding, name: image.name, ...image.decoding }]
        : [image, decoding];
      const pixelValuesOf = (raster: RasterImage) => preprocessImage(raster, preprocess).pixelValues;
      return { image, index, pixelValues: await useImage(source, options, pixelValuesOf) };
    } catch (error) {
      if (!maySkip || !(error instanceof ClipError) || error.code === "CLIP_USAGE") throw error;
      return { image, index, error };
    }
  });
}

function isLazy(image: ImageSource | LazyImage): image is LazyImage {
  return typeof image === "object" && image !== null && "load" in image && typeof image.load === "function";
}

async function load({ name, load }: LazyImage): Promise<ImageSource> {
  try {
    return await load();
  } catch (cause) {
    if (cause instanceof ClipError) throw cause;
    throw new ClipError("CLIP_IMAGE", `${name} cannot be loaded: ${(cause as Error).message}`, { cause });
  }
}

/** An image of a stream as messages call it. */
export function nameOf(image: ImageSource | LazyImage, index: number): string {
  if (typeof image === "string") return `image ${index} (${image.slice(0, 200)})`;
  return isLazy(image) ? `image ${index} (${image.name})` : `image ${index}`;
}
