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
 * Decodes an image: JPEG, PNG, WebP, GIF, TIFF, AVIF, SVG (also packed by gzip, as SVGZ), BMP, ICO, CUR or PNM, whatever its name ends in. Of several frames or pages
 * it is the first, of an icon the largest image.
 *
 * Pixels are as the file stores them: no colour profile is applied, since the reference implementations apply none, and
 * 16-bit channels keep their high byte. CMYK becomes RGB by libvips' own conversion, which differs from Pillow's, and
 * transparent pixels of a GIF are black where Pillow shows the palette's colour, and so are those that its first frame leaves out. Faults of a JPEG of which libjpeg only warns are none
 * here either; a file that is cut short is refused.
 *
 * All decoding of a process shares 1 GiB of memory, that of a worker thread 256 MiB: an image that needs more than is left waits, and one
 * that needs more than all is decoded alone. Pixels that this function has returned no longer count.
 *
 * @param source - A path or an address, or the file or its bytes; what is decoded already is checked and given back.
 * @throws {ClipError} `CLIP_IMAGE`, naming the image, if it is missing, unreadable, no regular file, empty, damaged, not an image, of a
 *   format that cannot be decoded, or larger than `maxImagePixels`.
 */
export async function decodeImage(source: ImageSource, options: DecodeOptions = {}): Promise<RasterImage> {
  return useImage(source, options, (image) => image);
}

/**
 * What `use` makes of an image. The image's share of the memory for decoding is held until `use` has ended: many at once stay within it
 * if their pixels are given up by then. `use` must decode no other image, which could wait for this one forever.
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

/** What images hold at a time while they are decoded and used: the pixels, and the file. */
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
    throw new ClipError("CLIP_IMAGE", `${name} is no file of this machine; give its path`, { cause });
  }
}

/** A header that has been read, and the decoder for what follows it. */
interface Undecoded extends Omit<ReadHeader, "decode"> {
  decode(): RasterImage | Promise<RasterImage>;
}

/** The size of an image that may be decoded, and its decoder. */
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

/** Bytes of the text of an SVGZ beyond which it is refused: librsvg cannot draw so much in its time. */
const maxSvgBytes = 2 ** 26;
const unpack = promisify(gunzip);

/** The SVG that is packed by gzip in these bytes; of anything else nothing. */
async function unpackSvg(bytes: Uint8Array): Promise<Uint8Array | undefined> {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return undefined;
  const unpacked = await unpack(bytes, { maxOutputLength: maxSvgBytes }).catch(() => undefined);
  return unpacked && sniffImage(unpacked)?.format === "SVG" ? unpacked : undefined;
}

/** What a decoder gives; its errors name the image. */
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

/** The size of an image and its decoder; of an icon that holds a PNG, the bytes of that. */
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

/** An AVIF by the brand of a still image: libvips does not know that of sequences, which hold a still image too. */
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
    // Where there is nothing to turn it would cost a copy.
    autoOrient: orientation === "apply" && (header.orientation ?? 1) > 1,
    limitInputPixels: maxImagePixels,
    // For JPEG "error" and "truncated" let pass what libjpeg warns of; other decoders need "error" to notice that a file is cut.
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
 * With the first image: it takes as long as a small program's start, and texts need none of it. An import of what
 * is loaded takes no time in Node, and as long as a small image under loaders such as tsx.
 */
function loadSharp(): Promise<typeof sharp> {
  return (loading ??= import("sharp").then((module) => module.default));
}

/** Encodings inside of a known format for which there is no decoder, in the words of sharp. */
const noDecoder =
  /not been built in|not configured|not supported|not implemented|exceeds channel limit|samples out of range|no known route|labq format|unsupported (?!image format)/i;

function undecoded(name: string, cause: Error): ClipError {
  if (cause instanceof DrawingError) return new ClipError("CLIP_IMAGE", `${name} ${cause.message}`, { cause });
  // What reads beyond the end of a view says nothing of the file.
  const message = cause instanceof RangeError ? "it ends too early" : cause.message;
  const detail = message.trim().split("\n").at(-1)!.replace(/:$/, "");
  const problem = noDecoder.test(cause.message)
    ? `is encoded in a way that cannot be decoded here (${detail}); convert it to JPEG or PNG`
    : `is damaged or cut short (${detail}); copy or download it again`;
  return new ClipError("CLIP_IMAGE", `${name} ${problem}`, { cause });
}

/** True for images whose stored values are indices or bits. */
function isIndexed({ format, isPalette, bitsPerSample }: Metadata, bytes: Uint8Array): boolean {
  if (bitsPerSample === 1) return true;
  if (format === "tiff") return tiffTags(bytes)?.get(262) === 3;
  return format === "gif" && (bytes[10]! & 0x80) !== 0 ? isIndexedGif(bytes) : isPalette;
}

/**
 * True if transparency comes from one key colour or grey of a PNG: the reference does not count that as alpha.
 * Byte 25 of a PNG is its colour type; bit 4 there says that each pixel stores an alpha value, bit 1 a palette.
 */
function isColourKeyed(header: Metadata, bytes: Uint8Array): boolean {
  return header.format === "png" && (bytes[25]! & 0b101) === 0;
}
