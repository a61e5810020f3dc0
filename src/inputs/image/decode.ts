import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { isMainThread } from "node:worker_threads";
import { gunzip } from "node:zlib";
import type sharp from "sharp";
import type { Metadata } from "sharp";
import { ClipError } from "../../core/errors.ts";
import { checkKind, checkOptions } from "../../core/options.ts";
import { readBmp, type ReadHeader, readIcon } from "./bmp.ts";
import { fetchImage } from "./fetch-image.ts";
import { isIndexedGif } from "./gif.ts";
import { readImageFile } from "./image-file.ts";
import {
  addressOf,
  bytesOf,
  decodeKinds,
  type DecodeOptions,
  defaultMaxImagePixels,
  imageKind,
  type ImageSource,
  isImageBytes,
  isRasterImage,
  nameOf,
  noImageSource,
} from "./image-source.ts";
import { readJpeg } from "./jpeg.ts";
import { MemoryBudget } from "./memory-budget.ts";
import { readPnm } from "./pnm.ts";
import { checkRaster, type RasterImage } from "./raster-image.ts";
import { cannotDecode } from "./refusal.ts";
import { sniffImage, tiffTags } from "./sniff.ts";
import { DrawingError, drawSvg, inUtf8, svgSize } from "./svg.ts";

/**
 * Decodes an image: JPEG, PNG, WebP, GIF, TIFF, AVIF, SVG (also gzipped, as SVGZ), BMP, ICO, CUR or PNM, detected by
 * content. Takes the first frame or page, and the largest image of an icon.
 *
 * Pixels are as stored in the file: like the reference implementations, it applies no colour profile; 16-bit channels
 * keep their high byte. Two differences from Pillow: libvips converts CMYK to RGB in its own way, and transparent
 * pixels of a GIF, or those missing in its first frame, are black and not the palette's colour. JPEG faults that
 * libjpeg only warns about are accepted; truncated files are refused.
 *
 * Decoding shares 1 GiB of memory in the main thread and 256 MiB in each worker: an image waits until enough is free,
 * and one that exceeds the whole is decoded alone. Returned pixels no longer count.
 *
 * @param source - a path, address, file or its bytes; a decoded image is checked and returned.
 * @throws {ClipError} `CLIP_IMAGE` if the image is missing, unreadable, not a regular file, empty, damaged, not an
 *   image, of an unsupported format, or larger than `maxImagePixels`.
 */
export async function decodeImage(source: ImageSource, options: DecodeOptions = {}): Promise<RasterImage> {
  return useImage(source, options, (image) => image);
}

/**
 * Decodes an image and returns the result of `use`. The image holds its share of the decoding memory until `use` ends,
 * and `use` must release the pixels by then. It must not decode another image, which could wait for this one forever.
 *
 * @throws {ClipError} as {@link decodeImage} does.
 */
export async function useImage<Result>(
  source: ImageSource,
  options: DecodeOptions,
  use: (image: RasterImage) => Result | Promise<Result>,
): Promise<Result> {
  checkKind("decodeImage", source, imageKind);
  checkOptions("decodeImage", options, decodeKinds);
  if (isRasterImage(source)) {
    checkRaster(source);
    return use(source);
  }
  const name = nameOf(source, options);
  const { bytes, contentType } = await read(name, source, options);
  if (bytes.length === 0) throw new ClipError("CLIP_IMAGE", `${name} is empty (0 bytes); copy or download it again`);
  const image = await readSize(name, bytes, options, contentType);
  const work = async () => use(await orUndecoded(name, options, () => image.decode()));
  return budget.use(4 * image.width * image.height + bytes.length, work, options.signal);
}

/** Memory for images being decoded and used: their pixels and files. */
const budget = new MemoryBudget(isMainThread ? 2 ** 30 : 2 ** 28);

async function read(
  name: string,
  source: Exclude<ImageSource, RasterImage>,
  options: DecodeOptions,
): Promise<{ readonly bytes: Uint8Array; readonly contentType?: string | undefined }> {
  const address = addressOf(source);
  if (address?.protocol === "file:") return { bytes: await readImageFile(pathOf(name, address)) };
  if (address) return fetchImage(name, address.href, options);
  if (typeof source === "string") return { bytes: await readImageFile(source) };
  if (isImageBytes(source)) return { bytes: await bytesOf(source) };
  throw noImageSource(source);
}

function pathOf(name: string, address: URL): string {
  try {
    return fileURLToPath(address);
  } catch (cause) {
    throw new ClipError("CLIP_IMAGE", `${name} is not a file on this machine; pass its path`, { cause });
  }
}

/** Size of an image and a decoder for its pixels. */
interface Undecoded extends Omit<ReadHeader, "decode"> {
  decode(): RasterImage | Promise<RasterImage>;
}

/** Reads the size of an image and checks it against `maxImagePixels`. */
async function readSize(
  name: string,
  bytes: Uint8Array,
  options: DecodeOptions,
  contentType?: string,
): Promise<Undecoded> {
  const sniffed = sniffImage(bytes);
  const unpacked = sniffed ? undefined : await unpackSvg(bytes);
  if (unpacked) return readSize(name, unpacked, options);
  if (!sniffed?.decodable) throw cannotDecode(name, bytes, contentType);
  const image = await orUndecoded(name, options, () => readHeader(sniffed.format, bytes, options));
  if (image instanceof Uint8Array) return readSize(name, image, options);
  const { width, height } = image;
  const { maxImagePixels = defaultMaxImagePixels } = options;
  if (width * height > maxImagePixels) {
    const wanted = `at most ${maxImagePixels} pixels are accepted`;
    throw new ClipError(
      "CLIP_IMAGE",
      `${name} has ${width} × ${height} pixels; ${wanted}: raise --max-image-pixels (maxImagePixels) or shrink it`,
    );
  }
  return image;
}

/** Size limit of an unpacked SVGZ; librsvg could not draw more within the time limit. */
const maxSvgBytes = 2 ** 26;
const unpack = promisify(gunzip);

/** Unpacks an SVGZ; undefined for anything else. */
async function unpackSvg(bytes: Uint8Array): Promise<Uint8Array | undefined> {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return undefined;
  const unpacked = await unpack(bytes, { maxOutputLength: maxSvgBytes }).catch(() => undefined);
  return unpacked && sniffImage(unpacked)?.format === "SVG" ? unpacked : undefined;
}

/** Runs a decoder; its errors are rethrown with the image's name. */
async function orUndecoded<Result>(
  name: string,
  { signal }: DecodeOptions,
  decode: () => Result | Promise<Result>,
): Promise<Result> {
  try {
    return await decode();
  } catch (cause) {
    if (cause instanceof ClipError || signal?.aborted) throw cause;
    throw undecoded(name, cause as Error);
  }
}

/** Size of an image and its decoder; for an icon that holds a PNG, the PNG's bytes. */
async function readHeader(format: string, bytes: Uint8Array, options: DecodeOptions): Promise<Undecoded | Uint8Array> {
  if (format === "BMP") return readBmp(bytes);
  if (format === "PNM") return readPnm(bytes);
  if (format === "ICO" || format === "CUR") return readIcon(bytes);
  if (format === "SVG") {
    const text = inUtf8(bytes);
    const decode = async () => ({ ...(await drawSvg(text)), hasAlpha: true, nearest: false });
    return { ...(await svgSize(text)), decode };
  }
  if (format === "JPEG") readJpeg(bytes);
  const known = format === "AVIF" ? asStill(bytes) : bytes;
  const sharp = await loadSharp();
  const header = await sharp(known, { limitInputPixels: false, failOn: "error" }).metadata();
  return { width: header.width, height: header.height, decode: () => decodeBySharp(known, header, options) };
}

/** Sets an AVIF's brand to that of a still image: libvips rejects the brand of sequences, though they hold a still image too. */
function asStill(bytes: Uint8Array): Uint8Array {
  const still = Buffer.from(bytes);
  still.write("avif", 8);
  return still;
}

async function decodeBySharp(bytes: Uint8Array, header: Metadata, options: DecodeOptions): Promise<RasterImage> {
  const { orientation = "apply", maxImagePixels = defaultMaxImagePixels } = options;
  const sharp = await loadSharp();
  let image = sharp(bytes, {
    ignoreIcc: true,
    // Avoids a copy if there is nothing to turn.
    autoOrient: orientation === "apply" && (header.orientation ?? 1) > 1,
    limitInputPixels: maxImagePixels,
    // For JPEG, "error" and "truncated" tolerate libjpeg's warnings; other decoders need "error" to detect truncation.
    failOn: "error",
  });
  const hasAlpha = header.hasAlpha && !isColourKeyed(header, bytes);
  if (header.hasAlpha && !hasAlpha) image = image.removeAlpha();
  const { data, info } = await image.ensureAlpha().raw().toBuffer({ resolveWithObject: true });
  if (info.channels !== 4) throw new Error(`${info.channels} channels are not supported`);
  return { width: info.width, height: info.height, pixels: data, hasAlpha, nearest: isIndexed(header, bytes) };
}

let loading: Promise<typeof sharp> | undefined;

/**
 * Loads sharp with the first image: that takes as long as a small program's start, and text needs none of it. The
 * promise is kept because even a repeated import is slow under loaders such as tsx.
 */
function loadSharp(): Promise<typeof sharp> {
  return (loading ??= import("sharp").then((module) => module.default));
}

/** Sharp's messages for unsupported encodings within a known format. */
const noDecoder =
  /not been built in|not configured|not supported|not implemented|exceeds channel limit|samples out of range|no known route|labq format|unsupported (?!image format)/i;

function undecoded(name: string, cause: Error): ClipError {
  if (cause instanceof DrawingError) return new ClipError("CLIP_IMAGE", `${name} ${cause.message}`, { cause });
  // A read beyond the end of a view means a truncated file.
  const message = cause instanceof RangeError ? "it ends too early" : cause.message;
  const detail = message.trim().split("\n").at(-1)!.replace(/:$/, "");
  const problem = noDecoder.test(cause.message)
    ? `is encoded in a way that is not supported (${detail}); convert it to JPEG or PNG`
    : `is damaged or cut short (${detail}); copy or download it again`;
  return new ClipError("CLIP_IMAGE", `${name} ${problem}`, { cause });
}

/** True if pixels are stored as palette indices or single bits. */
function isIndexed({ format, isPalette, bitsPerSample }: Metadata, bytes: Uint8Array): boolean {
  if (bitsPerSample === 1) return true;
  if (format === "tiff") return tiffTags(bytes)?.get(262) === 3;
  return format === "gif" && (bytes[10]! & 0x80) !== 0 ? isIndexedGif(bytes) : isPalette;
}

/**
 * True for a PNG with one transparent key colour or grey, which the reference does not treat as alpha. Byte 25 of a PNG
 * is its colour type: bit value 4 is an alpha channel, 1 a palette.
 */
function isColourKeyed(header: Metadata, bytes: Uint8Array): boolean {
  return header.format === "png" && (bytes[25]! & 0b101) === 0;
}
