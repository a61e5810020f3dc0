import { lazyPicture, type Picture } from "../../inputs/data/image-location.ts";
import type { ClipEncoder, EncodeOptions, OnSkip } from "../../model/embedding/encoder.ts";
import type { DecodeOptions } from "../../inputs/image/image-source.ts";

/** A picture that cannot be read, and why. */
export interface BrokenImage {
  readonly image: string;
  readonly reason: string;
}

/** How the pictures of an evaluation are read. */
export interface ReadOptions extends DecodeOptions, EncodeOptions {
  /** Told of each picture that cannot be read; it is left out. */
  readonly onBroken?: ((broken: BrokenImage) => void) | undefined;
}

/** The pictures that can be read with their embeddings, in order, some at a time. */
export async function* encodeReadable(
  encoder: ClipEncoder,
  pictures: Iterable<Picture>,
  { onBroken, batchSize, signal, ...decoding }: ReadOptions = {},
): AsyncGenerator<{ readonly image: string; readonly imageEmbed: Float32Array }> {
  const all = [...pictures];
  const images = all.map((picture) => lazyPicture(picture, decoding));
  const onSkip: OnSkip = ({ message }, _, index) => onBroken?.({ image: all[index]!.image, reason: message });
  let at = 0;
  for await (const imageEmbed of encoder.encodeImages(images, { batchSize, signal, onSkip })) {
    const { image } = all[at++]!;
    if (imageEmbed) yield { image, imageEmbed };
  }
}
