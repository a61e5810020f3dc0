import { lazyImage, type ImageLocation } from "../../inputs/data/image-location.ts";
import type { ClipEncoder, EncodeOptions, OnSkip } from "../../model/embedding/encoder.ts";
import type { DecodeOptions } from "../../inputs/image/image-source.ts";

/** An unreadable image, with the reason. */
export interface BrokenImage {
  readonly image: string;
  readonly reason: string;
}

/** Options for reading the images of an evaluation. */
export interface ReadOptions extends DecodeOptions, EncodeOptions {
  /** Called for each unreadable image, which is skipped. */
  readonly onBroken?: ((broken: BrokenImage) => void) | undefined;
}

/** Yields the readable images with their embeddings, in order. */
export async function* encodeReadable(
  encoder: ClipEncoder,
  locations: Iterable<ImageLocation>,
  { onBroken, batchSize, signal, ...decoding }: ReadOptions = {},
): AsyncGenerator<{ readonly image: string; readonly imageEmbed: Float32Array }> {
  const all = [...locations];
  const images = all.map((location) => lazyImage(location, decoding));
  const onSkip: OnSkip = ({ message }, _, index) => onBroken?.({ image: all[index]!.image, reason: message });
  let at = 0;
  for await (const imageEmbed of encoder.encodeImages(images, { batchSize, signal, onSkip })) {
    const { image } = all[at++]!;
    if (imageEmbed) yield { image, imageEmbed };
  }
}
