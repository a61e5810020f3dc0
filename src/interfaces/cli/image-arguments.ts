import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ClipError } from "../../core/errors.ts";
import { undefinedIfMissing } from "../../core/missing-file.ts";
import { listFolder } from "../../inputs/data/folders.ts";
import { decodeImage } from "../../inputs/image/decode.ts";
import { type DecodeOptions, type ImageSource } from "../../inputs/image/image-source.ts";
import { type RasterImage } from "../../inputs/image/raster-image.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";
import type { CliIo } from "./io.ts";
import { standardInput } from "./text-files.ts";

export interface ImageArgument {
  /** Its path or address, or `-`. */
  readonly name: string;
  readonly load: () => ImageSource | Promise<ImageSource>;
  readonly decoding: DecodeOptions;
  /** The argument is a folder that holds the image. */
  readonly inFolder?: boolean | undefined;
}

/** Images of the command line, and files in its folders that cannot be used. */
interface ImageArguments {
  readonly images: readonly ImageArgument[];
  readonly skipped: readonly SkippedImage[];
}

/**
 * Finds the images of arguments. A path or an address is one image, a folder all images in it and its subfolders, a pattern with `*` or
 * `?` the matching files (for shells that do not expand it), and `-` the image on the standard input.
 *
 * @throws {ClipError} `CLIP_IMAGE` if a folder holds no images or no file matches a pattern.
 */
export async function imageArguments(
  args: readonly string[],
  decoding: DecodeOptions,
  io: CliIo,
): Promise<ImageArguments> {
  const found: ImageArguments[] = [];
  for (const arg of args)
    found.push(
      standardInput.has(arg)
        ? { images: [await standardInputImage(decoding, io)], skipped: [] }
        : await imagesAt(arg, decoding, io),
    );
  return { images: found.flatMap(({ images }) => images), skipped: found.flatMap(({ skipped }) => skipped) };
}

/**
 * Reads images up to the first that can be read, and returns all of them.
 *
 * @throws {ClipError} `CLIP_IMAGE` if none can be read; each of several is reported.
 */
export async function withFirstRead(images: readonly ImageArgument[], io: CliIo): Promise<ImageArgument[]> {
  const read: ImageArgument[] = [];
  const errors: ClipError[] = [];
  for (const image of images) {
    const { load, decoding } = image;
    io.signal.throwIfAborted();
    const decode = async () => decodeImage(await load(), decoding);
    const loading = decode();
    // Returned once, so that its pixels can be freed.
    let kept: Promise<RasterImage> | undefined = loading;
    const error = await loading.then(
      () => undefined,
      (error: Error) => error,
    );
    read.push({
      ...image,
      load: () => {
        const given = kept ?? load();
        kept = undefined;
        return given;
      },
    });
    if (error === undefined) return [...read, ...images.slice(read.length)];
    if (!(error instanceof ClipError)) throw error;
    errors.push(error);
  }
  if (errors.length === 1) throw errors[0]!;
  for (const { message } of errors) io.err(message);
  throw new ClipError("CLIP_IMAGE", `none of ${images.length} images can be read`);
}

/** The image on the standard input, named `-`. */
export async function standardInputImage(
  decoding: DecodeOptions,
  io: CliIo,
): Promise<ImageArgument & { readonly bytes: Uint8Array }> {
  const bytes = await io.readInputBytes();
  return { name: "-", load: () => bytes, decoding: { ...decoding, name: "the standard input" }, bytes };
}

async function imagesAt(arg: string, decoding: DecodeOptions, { signal }: CliIo): Promise<ImageArguments> {
  const imageAt = (path: string, inFolder = false) => ({ name: path, load: () => path, decoding, inFolder });
  const entry = await stat(arg).catch(() => undefined);
  if (entry?.isDirectory()) {
    const { images, skipped } = await listFolder(arg, { signal });
    if (images.length === 0) throw new ClipError("CLIP_IMAGE", `the folder ${arg} holds no images`);
    return { images: images.map((name) => imageAt(join(arg, name), true)), skipped };
  }
  const isOne = entry || !/[*?]/.test(basename(arg)) || /^[a-z]+:/i.test(arg);
  return { images: (isOne ? [arg] : await matching(arg)).map((path) => imageAt(path)), skipped: [] };
}

/** The files of one folder that match a pattern. */
async function matching(pattern: string): Promise<string[]> {
  const folder = dirname(pattern);
  const parts = basename(pattern)
    .replaceAll(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll(/\*+/g, ".*")
    .replaceAll("?", ".");
  const whole = new RegExp(`^${parts}$`, process.platform === "win32" ? "i" : "");
  const entries = (await undefinedIfMissing(folder, readdir(folder, { withFileTypes: true }))) ?? [];
  const names = entries.filter(
    (entry) => !entry.isDirectory() && !entry.name.startsWith(".") && whole.test(entry.name),
  );
  if (names.length === 0) throw new ClipError("CLIP_IMAGE", `no file matches ${pattern}`);
  return names.map(({ name }) => (folder === "." ? name : join(folder, name))).sort();
}
