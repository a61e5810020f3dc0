import { ClipError } from "../../core/errors.ts";
import { abortSignal, callback, checkKind, type OptionKinds, wholeNumber } from "../../core/options.ts";
import { mapInOrder, type Source } from "../../core/streams.ts";
import { useImage } from "../../inputs/image/decode.ts";
import { decodeKinds, type DecodeOptions, imageKind, type ImageSource } from "../../inputs/image/image-source.ts";
import type { PreprocessConfig } from "../../inputs/image/preprocess-config.ts";
import { preprocessImage } from "../../inputs/image/preprocess.ts";
import type { RasterImage } from "../../inputs/image/raster-image.ts";

export interface EncodeOptions {
  /** Default 16, or for images fewer to keep a batch within 256 MiB. Larger batches need more memory and are hardly faster. */
  readonly batchSize?: number | undefined;
  /** Stops between batches. */
  readonly signal?: AbortSignal | undefined;
}

/** An image that is loaded when it is needed. */
export interface LazyImage {
  /** Its name in error messages. */
  readonly name: string;
  /** Returns its path, bytes or the like. Decoded pixels are not counted against the memory limit for images. */
  readonly load: () => ImageSource | Promise<ImageSource>;
  /** Overrides the stream's decoding options. */
  readonly decoding?: DecodeOptions | undefined;
}

export interface EncodeImageOptions extends EncodeOptions, DecodeOptions {
  /**
   * Called for each unreadable image, in order; the stream continues with `undefined` in its place. Without it, the first such
   * image ends the stream with an error.
   */
  readonly onSkip?: OnSkip | undefined;
}

/** @param index - position of the image in the source, from 0. */
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

/** Name of an image in messages. */
export function imageName(image: ImageSource | LazyImage, index: number): string {
  if (typeof image === "string") return `image ${index} (${image.slice(0, 200)})`;
  return isLazy(image) ? `image ${index} (${image.name})` : `image ${index}`;
}
