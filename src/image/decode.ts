import { readFile, stat } from "node:fs/promises";
import type sharp from "sharp";
import type { Metadata } from "sharp";
import { ClipError } from "../core/errors.ts";
import { checkKind, checkOptions } from "../core/options.ts";
import { isIndexedGif } from "./gif.ts";
import {
  decodeKinds,
  type DecodeOptions,
  defaultMaxImagePixels,
  imageKind,
  type ImageSource,
  isRasterImage,
} from "./image-source.ts";
import type { RasterImage } from "./raster-image.ts";

/**
 * Decodes a picture: JPEG, PNG, WebP, GIF (first frame), TIFF, AVIF or SVG.
 *
 * Pixels are as the file stores them: no colour profile is applied, since the reference implementations apply none, and
 * 16-bit channels keep their high byte. CMYK becomes RGB by libvips' own conversion, which differs from Pillow's, and
 * transparent pixels of a GIF are black where Pillow shows the palette's colour.
 *
 * @param source - A path, or the file or its bytes; what is decoded already is given back.
 * @throws {ClipError} `CLIP_IMAGE`, naming the path, if the file is missing, unreadable, empty, damaged, not a picture,
 *   or larger than `maxImagePixels`.
 */
export async function decodeImage(source: ImageSource, options: DecodeOptions = {}): Promise<RasterImage> {
  checkKind("decodeImage", source, imageKind);
  checkOptions("decodeImage", options, decodeKinds);
  const { orientation = "apply", maxImagePixels = defaultMaxImagePixels } = options;
  if (isRasterImage(source)) return source;
  const name = typeof source === "string" ? source : "the picture";
  const bytes = await bytesOf(source);
  if (bytes.length === 0) throw new ClipError("CLIP_IMAGE", `${name} is empty (0 bytes); copy or download it again`);

  const sharp = await loadSharp();
  const header = await readHeader(name, bytes);
  const { width, height } = header;
  if (width * height > maxImagePixels) {
    const wanted = `at most ${maxImagePixels} pixels are accepted`;
    throw new ClipError(
      "CLIP_IMAGE",
      `${name} has ${width} × ${height} pixels; ${wanted}: raise --max-image-pixels (maxImagePixels) or shrink it`,
    );
  }
  let image = sharp(bytes, {
    ignoreIcc: true,
    // Where there is nothing to turn it would cost a copy.
    autoOrient: orientation === "apply" && (header.orientation ?? 1) > 1,
    limitInputPixels: maxImagePixels,
    // libpng warns of harmless oddities in colour profiles; libjpeg's warnings mean lost pixels.
    failOn: header.format === "png" ? "error" : "warning",
  });
  const hasAlpha = header.hasAlpha && !isColourKeyed(header, bytes);
  if (header.hasAlpha && !hasAlpha) image = image.removeAlpha();
  try {
    const { data, info } = await image.ensureAlpha().raw().toBuffer({ resolveWithObject: true });
    return { width: info.width, height: info.height, pixels: data, hasAlpha, nearest: isIndexed(header, bytes) };
  } catch (cause) {
    throw damaged(name, cause);
  }
}

let loading: Promise<typeof sharp> | undefined;

/**
 * With the first picture: it takes as long as a small program's start, and texts need none of it. An import of what
 * is loaded takes no time in Node, and as long as a small picture under loaders such as tsx.
 */
function loadSharp(): Promise<typeof sharp> {
  return (loading ??= import("sharp").then((module) => module.default));
}

async function bytesOf(source: Exclude<ImageSource, RasterImage>): Promise<Uint8Array> {
  if (typeof source === "string") return readImageFile(source);
  if (source instanceof Uint8Array) return source;
  if (source instanceof Blob) return new Uint8Array(await source.arrayBuffer());
  throw new ClipError(
    "CLIP_IMAGE",
    "a picture is a path, the bytes of a file, or already decoded; this is none of them",
  );
}

async function readImageFile(path: string): Promise<Uint8Array> {
  try {
    if (!(await stat(path)).isFile()) throw new ClipError("CLIP_IMAGE", `${path} is not a file; name a picture`);
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof ClipError) throw cause;
    const missing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    const problem = missing ? "does not exist; check the path" : `cannot be read: ${(cause as Error).message}`;
    throw new ClipError("CLIP_IMAGE", `${path} ${problem}`, { cause });
  }
}

async function readHeader(name: string, bytes: Uint8Array): Promise<Metadata> {
  try {
    const sharp = await loadSharp();
    return await sharp(bytes, { limitInputPixels: false, failOn: "error" }).metadata();
  } catch (cause) {
    if (!/unsupported image format/.test((cause as Error).message)) throw damaged(name, cause);
    const known = "JPEG, PNG, WebP, GIF, TIFF, AVIF or SVG";
    throw new ClipError("CLIP_IMAGE", `${name} is not a picture this can read; convert it to ${known}`, { cause });
  }
}

function damaged(name: string, cause: unknown): ClipError {
  const [detail] = (cause as Error).message.split("\n");
  return new ClipError("CLIP_IMAGE", `${name} is damaged or cut short (${detail}); copy or download it again`, {
    cause,
  });
}

/** True for pictures whose stored values are indices or bits. */
function isIndexed({ format, isPalette, bitsPerSample }: Metadata, bytes: Uint8Array): boolean {
  if (bitsPerSample === 1) return true;
  return format === "gif" && (bytes[10]! & 0x80) !== 0 ? isIndexedGif(bytes) : isPalette;
}

/**
 * True if transparency comes from one key colour or grey of a PNG: the reference does not count that as alpha.
 * Byte 25 of a PNG is its colour type; bit 4 there says that each pixel stores an alpha value, bit 1 a palette.
 */
function isColourKeyed(header: Metadata, bytes: Uint8Array): boolean {
  return header.format === "png" && (bytes[25]! & 0b101) === 0;
}
