import type { SkippedImage } from "../../inputs/data/image-files.ts";
import { type ImageLocation, lazyImage } from "../../inputs/data/image-location.ts";
import type { DecodeOptions } from "../../inputs/image/image-source.ts";
import type { ClipEncoder, EncodeOptions, OnSkip } from "./encoder.ts";

/** How images are read and encoded. */
export interface ReadOptions extends DecodeOptions, EncodeOptions {
  /** Called with each image that cannot be read; it is skipped. */
  readonly onSkip?: ((skipped: SkippedImage) => void) | undefined;
}

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
