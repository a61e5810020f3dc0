import { callback, type OptionKinds } from "../../core/options.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";
import { type ImageLocation, lazyImage } from "../../inputs/data/image-location.ts";
import { decodeKinds, type DecodeOptions } from "../../inputs/image/image-source.ts";
import type { ClipEncoder } from "./encoder.ts";
import { encodeKinds, type EncodeOptions, type OnSkip } from "./image-stream.ts";

/** How images are read and encoded. */
export interface ReadOptions extends DecodeOptions, EncodeOptions {
  /** Called with each image that cannot be read; it is skipped. */
  readonly onSkip?: ((skipped: SkippedImage) => void) | undefined;
}

export const readKinds: OptionKinds<ReadOptions> = { ...decodeKinds, ...encodeKinds, onSkip: callback };

/**
 * The readable images with their vectors, in order.
 *
 * @param method - the encoder's method that gives the vectors: embeddings, or those before the projection.
 */
export async function* encodeReadable<Image extends ImageLocation>(
  encoder: ClipEncoder,
  images: Iterable<Image>,
  { onSkip, batchSize, signal, ...decoding }: ReadOptions = {},
  method: "encodeImages" | "poolImages" = "encodeImages",
): AsyncGenerator<readonly [image: Image, vector: Float32Array]> {
  const all = [...images];
  const lazy = all.map((image) => lazyImage(image, decoding));
  const skip: OnSkip = ({ message }, _, index) => onSkip?.({ image: all[index]!.image, reason: message });
  let at = 0;
  for await (const vector of encoder[method](lazy, { batchSize, signal, onSkip: skip })) {
    const image = all[at++]!;
    if (vector) yield [image, vector];
  }
}
