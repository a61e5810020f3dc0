import { closeSync, openSync, readSync } from "node:fs";
import { ClipError } from "../core/errors.ts";
import { exists, readRange } from "../core/files.ts";
import { maxImageBytes, tooManyBytes } from "../image/fetch-image.ts";
import { readImageFile, readImageFileAtOnce } from "../image/image-file.ts";
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
 * @throws {ClipError} `CLIP_IMAGE` or `CLIP_FILE` if it cannot be read, is no regular file, or is too large.
 */
export async function readPictureBytes({ image, bytes }: Picture): Promise<Uint8Array> {
  if (!bytes) return readImageFile(image);
  if (bytes.length > maxImageBytes) throw tooManyBytes(image);
  return readRange(bytes.file, bytes.offset, bytes.length);
}

/**
 * Reads and decodes a picture, wherever it lies.
 *
 * @throws {ClipError} `CLIP_IMAGE` or `CLIP_FILE`, naming the picture, if it cannot be read.
 */
export async function readPicture(picture: Picture, options?: DecodeOptions): Promise<RasterImage> {
  return decodeImage(await readPictureBytes(picture), { ...options, name: picture.image });
}

/** {@link readPicture} for threads on which nobody else waits: the way of a small file to Node's own threads and back takes half as long as its decoding. */
export async function readPictureAtOnce(picture: Picture, options?: DecodeOptions): Promise<RasterImage> {
  const content = picture.bytes ? readPartAtOnce(picture.bytes) : readImageFileAtOnce(picture.image);
  // What cannot be read so is read in the other way, which says why.
  return content ? decodeImage(content, { ...options, name: picture.image }) : readPicture(picture, options);
}

function readPartAtOnce({ file, offset, length }: FilePart): Uint8Array | undefined {
  if (length > maxImageBytes) return undefined;
  try {
    const opened = openSync(file, "r");
    try {
      const content = new Uint8Array(length);
      return readSync(opened, content, 0, length, offset) === length ? content : undefined;
    } finally {
      closeSync(opened);
    }
  } catch {
    return undefined;
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
