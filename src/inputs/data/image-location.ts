import { closeSync, openSync, readSync, realpathSync } from "node:fs";
import { realpath } from "node:fs/promises";
import { dirname, resolve, sep } from "node:path";
import { ClipError } from "../../core/errors.ts";
import { exists, readRange } from "../../core/files.ts";
import { checkOptions } from "../../core/options.ts";
import { maxImageBytes, tooManyBytes } from "../image/fetch-image.ts";
import { readImageFile, readImageFileAtOnce } from "../image/image-file.ts";
import { useImage, decodeImage } from "../image/decode.ts";
import { type DecodeOptions, decodeKinds } from "../image/image-source.ts";
import { type RasterImage } from "../image/raster-image.ts";
import { isWithin } from "./folders.ts";
import type { SkippedImage } from "./image-files.ts";

export interface ImageLocation {
  /** Absolute path. In an archive: the archive's path or address, then the path in it. */
  readonly image: string;
  /** The image's part of a file; without it the image is a whole file. */
  readonly bytes?: FilePart;
  /** Folder that must contain the file after links are resolved: the folder of the table that lists it. */
  readonly within?: string;
}

export interface FilePart {
  /** Absolute path. */
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

/** The location alone of a sample or the like. */
export function imageLocationOf({ image, bytes, within }: ImageLocation): ImageLocation {
  return { image, ...(bytes && { bytes }), ...(within !== undefined && { within }) };
}

/**
 * Reads the bytes of an image file.
 *
 * @throws {ClipError} `CLIP_IMAGE` or `CLIP_FILE` if it cannot be read, is no regular file, or is too large.
 */
export async function readImageBytes(location: ImageLocation): Promise<Uint8Array> {
  const { image, bytes } = location;
  if (!bytes) {
    await assertInside(location);
    return readImageFile(image);
  }
  if (bytes.length > maxImageBytes) throw tooManyBytes(image);
  return readRange(bytes.file, bytes.offset, bytes.length);
}

/**
 * Reads and decodes an image.
 *
 * @throws {ClipError} `CLIP_IMAGE` or `CLIP_FILE`, with the image's name, if it cannot be read.
 */
export async function readImage(location: ImageLocation, options: DecodeOptions = {}): Promise<RasterImage> {
  return useLocatedImage(location, options, (raster) => raster);
}

/** The result of `use` on a decoded image; calls in parallel share the memory budget of {@link useImage}. */
export async function useLocatedImage<Result>(
  location: ImageLocation,
  options: DecodeOptions,
  use: (raster: RasterImage) => Result | Promise<Result>,
): Promise<Result> {
  checkOptions("readImage", options, decodeKinds);
  return useImage(await readImageBytes(location), { ...options, name: location.image }, use);
}

/** The result of reading an image; if it is broken, the image with the reason. */
export async function orSkipped<Result>(image: string, read: () => Promise<Result>): Promise<Result | SkippedImage> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof ClipError) return { image, reason: error.message };
    throw error;
  }
}

/** An image for a stream, read when its turn comes. */
export function lazyImage(location: ImageLocation, decoding?: DecodeOptions) {
  return { name: location.image, decoding, load: () => readImageBytes(location) };
}

/** {@link readImage} with synchronous reads, for worker threads: handing a small file to Node's thread pool costs half its decoding time. */
export async function readImageAtOnce(location: ImageLocation, options?: DecodeOptions): Promise<RasterImage> {
  const content = location.bytes ? readPartAtOnce(location.bytes) : readWholeAtOnce(location);
  // The asynchronous way reports the error.
  return content ? decodeImage(content, { ...options, name: location.image }) : readImage(location, options);
}

function readWholeAtOnce({ image, within }: ImageLocation): Uint8Array | undefined {
  try {
    if (within !== undefined && !isWithin(realpathSync.native(image), realpathSync.native(within))) return undefined;
  } catch {
    return undefined;
  }
  return readImageFileAtOnce(image);
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

/**
 * The image of a row. A table may only refer to files in its own folder, since its author is not trusted.
 *
 * @param images - another folder for its paths, chosen by the user; links out of it are then followed.
 * @throws {ClipError} `CLIP_DATA` if the path leads out of the folder.
 */
export function imageOfTable(table: string, place: string, path: string, images: string | undefined): ImageLocation {
  const folder = resolve(images ?? dirname(table));
  const image = resolve(folder, path);
  if (!isWithin(image, folder))
    throw new ClipError(
      "CLIP_DATA",
      `${table}, ${place}: ${path} is outside ${folder}, ${images === undefined ? "the table's folder" : "as images (--images) says"}; ` +
        "if that is meant, name a folder that holds all its images by images (--images): / for any",
    );
  return { image, ...(images === undefined && { within: folder }) };
}

/** Refuses an image that is linked from outside its table's folder. */
async function assertInside({ image, within }: ImageLocation): Promise<void> {
  if (within === undefined) return;
  const [real, folder] = await Promise.all([realpath(image).catch(() => undefined), realpath(within)]);
  // A missing file is reported when it is read.
  if (real === undefined || isWithin(real, folder)) return;
  throw new ClipError(
    "CLIP_FILE",
    `${image} is a link to ${real}, outside the table's folder; to follow such links name that folder by images (--images)`,
  );
}

/** If none of this many images exists, the paths are wrong. */
const probedImages = 16;

/**
 * Refuses a table whose images do not exist.
 *
 * @param base - folder of its paths, for the message.
 * @throws {ClipError} `CLIP_DATA` if none of the first ones exists.
 */
export async function assertSomeExist(
  table: string,
  locations: readonly ImageLocation[],
  base = "its own folder",
): Promise<void> {
  const probed = locations.slice(0, probedImages);
  for (const { image } of probed) if (await exists(image).catch(() => true)) return; // errors are reported when the image is read
  if (probed.length === 0) return;
  throw new ClipError(
    "CLIP_DATA",
    `none of the first ${probed.length} images that ${table} names exists, such as ${probed[0]!.image}; ` +
      (wrongPath(probed[0]!.image) ?? `paths in it are relative to ${base}`),
  );
}

/** The mistake in a path that does not fit this system. */
function wrongPath(path: string): string | undefined {
  if (/(^|[\\/])file:[\\/]/i.test(path)) return "name files by their paths, without file://";
  if (/(^|[\\/])(https?|s3|gs|hf):[\\/]/i.test(path))
    return "images at addresses are not fetched; fetch them first, for example with img2dataset";
  if (sep === "/" && path.includes("\\")) return "paths are written with / here; replace each \\ in them";
  return undefined;
}

/** The folder of a table's paths, in words. */
export const baseOf = (images: string | undefined): string =>
  images === undefined ? "its own folder; name another by images (--images)" : `${images}, as --images says`;
