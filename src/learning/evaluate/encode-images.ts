import type { OptionKinds } from "../../core/options.ts";
import { lazyImage, type ImageLocation } from "../../inputs/data/image-location.ts";
import type { ClipEncoder } from "../../model/embedding/encoder.ts";
import { encodeKinds, type EncodeOptions, type OnSkip } from "../../model/embedding/image-stream.ts";
import { decodeKinds, type DecodeOptions } from "../../inputs/image/image-source.ts";

/** An image that cannot be read, and the reason. */
export interface BrokenImage {
  readonly image: string;
  readonly reason: string;
}

/** How the images of an evaluation are read. */
export interface ReadOptions extends DecodeOptions, EncodeOptions {
  /** Called with each image that cannot be read; it is skipped. */
  readonly onBroken?: ((broken: BrokenImage) => void) | undefined;
}

export const readKinds: OptionKinds<Omit<ReadOptions, "onBroken">> = { ...decodeKinds, ...encodeKinds };

/** The images that can be read with their embeddings, in order, some at a time. */
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
