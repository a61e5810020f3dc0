import { readFile } from "node:fs/promises";
import { ClipError, problemOf } from "../core/errors.ts";
import { exists, readRange } from "../core/files.ts";
import { decodeImage, type DecodeOptions, type RasterImage } from "../image/index.ts";

/** Where a picture is. */
export interface Picture {
  /** Absolute path; of a picture in an archive the archive's path or address, and behind it the picture's in there. */
  readonly image: string;
  /** The part of a file that it is; without it, it is a file of its own. */
  readonly bytes?: FilePart;
}

/** Some bytes of a file. */
export interface FilePart {
  /** Absolute path. */
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

/**
 * The bytes of a picture's file, wherever it lies.
 *
 * @throws {ClipError} `CLIP_FILE` if it cannot be read.
 */
export async function readPictureBytes({ image, bytes }: Picture): Promise<Uint8Array> {
  if (bytes) return readRange(bytes.file, bytes.offset, bytes.length);
  return readFile(image).catch((cause: unknown) => {
    throw new ClipError("CLIP_FILE", `cannot read ${image}: ${problemOf(cause)}`, { cause });
  });
}

/**
 * Reads and decodes a picture, wherever it lies.
 *
 * @throws {ClipError} `CLIP_IMAGE` or `CLIP_FILE`, naming the picture, if it cannot be read.
 */
export async function readPicture(picture: Picture, options?: DecodeOptions): Promise<RasterImage> {
  const { image, bytes } = picture;
  if (!bytes) return decodeImage(image, options);
  const content = await readPictureBytes(picture);
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

/** If not one of so many pictures exists, the paths are wrong rather than the pictures. */
const probedImages = 16;

/**
 * Refuses a table of pictures that are not there.
 *
 * @param base - what its paths are relative to, for the message.
 * @throws {ClipError} `CLIP_DATA` if none of the first ones exists.
 */
export async function assertSomeExist(
  table: string,
  pictures: readonly Picture[],
  base = "its own folder",
): Promise<void> {
  const probed = pictures.slice(0, probedImages);
  for (const { image } of probed) if (await exists(image)) return;
  if (probed.length === 0) return;
  throw new ClipError(
    "CLIP_DATA",
    `none of the first ${probed.length} pictures that ${table} names exists, such as ${probed[0]!.image}; ` +
      `paths in it are relative to ${base}`,
  );
}

/** The same in words where `images`, the option --images, may name another folder. */
export const baseOf = (images: string | undefined): string =>
  images === undefined ? "its own folder; name another by images (--images)" : `${images}, as --images says`;
