import { ClipError } from "../core/errors.ts";
import { readRange } from "../core/files.ts";
import { decodeImage, type DecodeOptions, type RasterImage } from "../image/index.ts";
import type { Picture } from "./sources/samples.ts";

/**
 * Reads and decodes a picture, wherever it lies.
 *
 * @throws {ClipError} `CLIP_IMAGE` or `CLIP_FILE`, naming the picture, if it cannot be read.
 */
export async function readPicture({ image, bytes }: Picture, options?: DecodeOptions): Promise<RasterImage> {
  if (!bytes) return decodeImage(image, options);
  const content = await readRange(bytes.file, bytes.offset, bytes.length);
  try {
    return await decodeImage(content, options);
  } catch (error) {
    if (!(error instanceof ClipError)) throw error;
    throw new ClipError(
      error.code,
      error.message.replace(/^the picture/, () => image),
      { cause: error },
    );
  }
}
