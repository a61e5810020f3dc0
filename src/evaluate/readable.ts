import { ClipError } from "../core/errors.ts";
import { type Picture, readPicture } from "../data/picture.ts";
import { type ClipEncoder, type EncodeOptions, mapInOrder } from "../embedding/index.ts";
import type { DecodeOptions, RasterImage } from "../image/index.ts";

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
  const readable: string[] = [];
  const decode = async (picture: Picture) => {
    const { image } = picture;
    try {
      return { image, raster: await readPicture(picture, decoding) };
    } catch (error) {
      if (!(error instanceof ClipError)) throw error;
      return { image, reason: error.message };
    }
  };
  async function* decoded(): AsyncGenerator<RasterImage> {
    for await (const { image, raster, reason } of mapInOrder(pictures, decode)) {
      if (raster) {
        readable.push(image);
        yield raster;
      } else onBroken?.({ image, reason });
    }
  }
  for await (const imageEmbed of encoder.encodeImages(decoded(), { batchSize, signal }))
    yield { image: readable.shift()!, imageEmbed };
}
