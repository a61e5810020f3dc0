import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ClipError } from "../../core/errors.ts";
import { undefinedIfMissing } from "../../core/missing-file.ts";
import { listFolder } from "../../inputs/data/folders.ts";
import { decodeImage } from "../../inputs/image/decode.ts";
import { type DecodeOptions, type ImageSource } from "../../inputs/image/image-source.ts";
import { type RasterImage } from "../../inputs/image/raster-image.ts";
import { showSkipped } from "./eval-options.ts";
import type { CliIo } from "./io.ts";
import { standardInput } from "./text-files.ts";

/** An image that the command line names. */
export interface ImageArgument {
  /** Its path or address, or `-`. */
  readonly name: string;
  readonly load: () => ImageSource | Promise<ImageSource>;
  readonly decoding: DecodeOptions;
  /** The folder that it was found in, where the command line names that and not the image. */
  readonly folder?: string | undefined;
}

/**
 * The images that arguments name: a path or an address is one image, a folder all images in it and its folders, a pattern with `*` or
 * `?` the files that match, for shells that do not expand it, and `-` the image in the standard input.
 *
 * @throws {ClipError} `CLIP_IMAGE` if a folder holds no images or nothing matches a pattern.
 */
export async function imageArguments(
  args: readonly string[],
  decoding: DecodeOptions,
  io: CliIo,
): Promise<ImageArgument[]> {
  const images: ImageArgument[] = [];
  for (const arg of args) {
    if (standardInput.has(arg)) images.push(await standardInputImage(decoding, io));
    else images.push(...(await namedImages(arg, decoding, io)));
  }
  return images;
}

/**
 * The same images; those up to the first that can be read have been read.
 *
 * @throws {ClipError} `CLIP_IMAGE` if none can be read; of several each is reported.
 */
export async function withFirstRead(images: readonly ImageArgument[], io: CliIo): Promise<ImageArgument[]> {
  const read: ImageArgument[] = [];
  const errors: ClipError[] = [];
  for (const image of images) {
    const { load, decoding } = image;
    io.signal.throwIfAborted();
    const decode = async () => decodeImage(await load(), decoding);
    const loading = decode();
    // Given once: who held it on would hold its pixels.
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

/** The image in the standard input, under the name `-`. */
export async function standardInputImage(
  decoding: DecodeOptions,
  io: CliIo,
): Promise<ImageArgument & { readonly bytes: Uint8Array }> {
  const bytes = await io.readInputBytes();
  return { name: "-", load: () => bytes, decoding: { ...decoding, name: "the standard input" }, bytes };
}

async function namedImages(arg: string, decoding: DecodeOptions, io: CliIo): Promise<ImageArgument[]> {
  const imageAt = (path: string, folder?: string) => ({ name: path, load: () => path, decoding, folder });
  const entry = await stat(arg).catch(() => undefined);
  if (entry?.isDirectory()) {
    const { images, skipped } = await listFolder(arg, { signal: io.signal });
    showSkipped(skipped, io);
    if (images.length === 0) throw new ClipError("CLIP_IMAGE", `the folder ${arg} holds no images`);
    return images.map((name) => imageAt(join(arg, name), arg));
  }
  const isOne = entry || !/[*?]/.test(basename(arg)) || /^[a-z]+:/i.test(arg);
  return (isOne ? [arg] : await matching(arg)).map((path) => imageAt(path));
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
