import { ClipError } from "../../core/errors.ts";
import { checkKind, checkOptions } from "../../core/options.ts";
import { readBmp, type ReadHeader, readIcon } from "./bmp.ts";
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
  type PageImage,
} from "./image-source.ts";
import type { decodeImage as inNode, useImage as useInNode } from "./decode.ts";
import { fetchImage } from "./fetch-image.ts";
import { isIndexedGif } from "./gif.ts";
import { type JpegFrame, readJpeg } from "./jpeg.ts";
import { readPnm } from "./pnm.ts";
import { checkRaster, type RasterImage, type Size } from "./raster-image.ts";
import { cannotDecode } from "./refusal.ts";
import { sniffImage } from "./sniff.ts";

/**
 * Decodes an image in a page. PNG is decoded by a library, since a canvas premultiplies alpha and may convert colours;
 * PNG, BMP, ICO, CUR and PNM pixels equal those in Node. JPEG is decoded by a library on demand (`jpegDecoder`) and to
 * ignore its orientation. The browser decodes all else (WebP, GIF, AVIF, …), without colour management and with its
 * orientation applied.
 *
 * @param source - an address; a `File`, `Blob` or bytes; an image, canvas, video frame or `ImageData` of the page; a
 *   decoded image is checked and returned.
 * @throws {ClipError} `CLIP_IMAGE` if it cannot be fetched, is damaged, not an image, of another origin that does not
 *   allow reading it, or larger than `maxImagePixels`.
 */
export const decodeImage: typeof inNode = async (source, options = {}) => {
  checkKind("decodeImage", source, imageKind);
  checkOptions("decodeImage", options, decodeKinds);
  if (isRasterImage(source)) {
    checkRaster(source);
    return source;
  }
  const name = nameOf(source, options);
  if (isPageImage(source))
    return draw(name, await readyToDraw(name, source), options.maxImagePixels ?? defaultMaxImagePixels);
  const { bytes, contentType } = await read(name, source, options);
  if (bytes.length === 0) throw new ClipError("CLIP_IMAGE", `${name} is empty (0 bytes)`);
  return decodeBytes(name, bytes, options, contentType);
};

/** Decodes an image and returns the result of `use`. */
export const useImage: typeof useInNode = async (source, options, use) => use(await decodeImage(source, options));

function isPageImage(source: unknown): source is PageImage {
  return typeof source === "object" && source !== null && !isImageBytes(source) && !addressOf(source);
}

interface Content {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly contentType?: string | undefined;
}

async function read(name: string, source: ImageSource, options: DecodeOptions): Promise<Content> {
  const address = addressOf(source)?.href ?? (typeof source === "string" ? source : undefined);
  if (address !== undefined) return fetchImage(name, address, options);
  if (isImageBytes(source)) return { bytes: (await bytesOf(source)).slice() };
  throw noImageSource(source);
}

async function decodeBytes(
  name: string,
  bytes: Uint8Array<ArrayBuffer>,
  options: DecodeOptions,
  contentType?: string,
): Promise<RasterImage> {
  const { maxImagePixels = defaultMaxImagePixels } = options;
  const format = sniffImage(bytes)?.format;
  if (format === "PNG") return decodePng(name, bytes, maxImagePixels);
  if (format === "JPEG") {
    const frame = orDamaged(name, () => readJpeg(bytes));
    checkSize(name, frame, maxImagePixels);
    // Browsers always apply the stored orientation.
    if (options.jpegDecoder === "library" || options.orientation === "ignore")
      return decodeJpeg(name, bytes, frame, options);
  }
  const own = format !== undefined && readOwn(name, format, bytes);
  if (own instanceof Uint8Array) return decodeBytes(name, own.slice(), options);
  if (own) {
    checkSize(name, own, maxImagePixels);
    return orDamaged(name, () => own.decode());
  }
  return decodeByBrowser(name, bytes, options, contentType);
}

/** Header of a format that this package decodes itself, or the bytes of a PNG in an icon; else undefined. */
function readOwn(name: string, format: string, bytes: Uint8Array): ReadHeader | Uint8Array | undefined {
  if (format === "BMP") return orDamaged(name, () => readBmp(bytes));
  if (format === "PNM") return orDamaged(name, () => readPnm(bytes));
  return format === "ICO" || format === "CUR" ? orDamaged(name, () => readIcon(bytes)) : undefined;
}

function orDamaged<Result>(name: string, work: () => Result): Result {
  try {
    return work();
  } catch (cause) {
    throw damaged(name, (cause as Error).message);
  }
}

function checkSize(name: string, { width, height }: Size, maxImagePixels: number): void {
  if (width * height <= maxImagePixels) return;
  const wanted = `at most ${maxImagePixels} pixels are accepted`;
  throw new ClipError(
    "CLIP_IMAGE",
    `${name} has ${width} × ${height} pixels; ${wanted}: raise maxImagePixels or shrink it`,
  );
}

function damaged(name: string, cause: unknown): ClipError {
  return new ClipError("CLIP_IMAGE", `${name} is damaged or cut short (${String(cause)}); copy or download it again`, {
    cause,
  });
}

/** Bits of a PNG's colour type, in byte 25: 1 is a palette, 2 colour, 4 alpha. */
const [paletteBit, alphaBit] = [1, 4];

async function decodePng(name: string, bytes: Uint8Array<ArrayBuffer>, maxImagePixels: number): Promise<RasterImage> {
  if (bytes.length < 33) throw damaged(name, "its header is missing");
  const header = new DataView(bytes.buffer, bytes.byteOffset);
  checkSize(name, { width: header.getUint32(16), height: header.getUint32(20) }, maxImagePixels);
  const [depth, kind] = [bytes[24]!, bytes[25]!];
  const { decode } = await import("@jsquash/png/decode.js");
  const { width, height, data } = await decode(bytes.buffer).catch((cause: unknown) => {
    throw damaged(name, cause);
  });
  const pixels = new Uint8Array(data.buffer);
  // The reference does not treat one transparent key colour or grey as alpha.
  const isColourKeyed = (kind & (paletteBit | alphaBit)) === 0;
  if (isColourKeyed) for (let i = 3; i < pixels.length; i += 4) pixels[i] = 255;
  const hasAlpha = (kind & alphaBit) !== 0 || ((kind & paletteBit) !== 0 && hasPaletteAlpha(header));
  return { width, height, pixels, hasAlpha, nearest: (kind & paletteBit) !== 0 || depth === 1 };
}

/** True if a `tRNS` chunk precedes the pixels (`IDAT`). */
function hasPaletteAlpha(png: DataView): boolean {
  const [idat, trns] = [0x49444154, 0x74524e53];
  for (let at = 8; at + 8 <= png.byteLength; at += 12 + png.getUint32(at)) {
    const type = png.getUint32(at + 4);
    if (type === trns || type === idat) return type === trns;
  }
  return false;
}

function hasTransparency(pixels: Uint8Array): boolean {
  for (let i = 3; i < pixels.length; i += 4) if (pixels[i] !== 255) return true;
  return false;
}

async function decodeJpeg(
  name: string,
  bytes: Uint8Array<ArrayBuffer>,
  { components }: JpegFrame,
  { orientation = "apply" }: DecodeOptions,
): Promise<RasterImage> {
  if (components === 4)
    throw new ClipError("CLIP_IMAGE", `${name} is CMYK, which the library does not support; convert it to RGB`);
  const { default: decode } = await import("@jsquash/jpeg/decode.js");
  const { width, height, data } = await decode(bytes.buffer, { preserveOrientation: orientation === "apply" }).catch(
    (cause: unknown) => {
      throw damaged(name, cause instanceof Error ? cause.message : "its content is invalid");
    },
  );
  return { width, height, pixels: new Uint8Array(data.buffer), hasAlpha: false, nearest: false };
}

async function decodeByBrowser(
  name: string,
  bytes: Uint8Array<ArrayBuffer>,
  { maxImagePixels = defaultMaxImagePixels }: DecodeOptions,
  contentType: string | undefined,
): Promise<RasterImage> {
  const bitmap = await createImageBitmap(new Blob([bytes]), {
    colorSpaceConversion: "none",
    premultiplyAlpha: "none",
  }).catch((cause: unknown) => {
    if (!sniffImage(bytes)?.decodable) throw cannotDecode(name, bytes, contentType);
    throw new ClipError(
      "CLIP_IMAGE",
      `${name} is damaged, or of a format that this browser cannot decode; convert it to JPEG or PNG`,
      { cause },
    );
  });
  try {
    return { ...draw(name, bitmap, maxImagePixels), nearest: isIndexedGif(bytes) };
  } finally {
    bitmap.close();
  }
}

type Drawable = Exclude<PageImage, ImageData>;

interface PageClasses {
  readonly HTMLImageElement: HTMLImageElement;
  readonly HTMLVideoElement: HTMLVideoElement;
  readonly VideoFrame: VideoFrame;
}

/** `instanceof`, for classes that workers and some browsers lack. */
function isA<Name extends keyof PageClasses>(name: Name, source: unknown): source is PageClasses[Name] {
  return name in globalThis && source instanceof globalThis[name];
}

/** Waits until an image element is loaded. */
async function readyToDraw(name: string, source: PageImage): Promise<PageImage> {
  if (!isA("HTMLImageElement", source)) return source;
  await source.decode().catch((cause: unknown) => {
    throw new ClipError(
      "CLIP_IMAGE",
      `${name} (${source.currentSrc || "an image without an address"}) cannot be loaded`,
      {
        cause,
      },
    );
  });
  return source;
}

/** Pixels of a page image. A canvas rounds the colours of transparent pixels. */
function draw(name: string, source: PageImage, maxImagePixels: number): RasterImage {
  const { data, width, height } = source instanceof ImageData ? source : drawn(name, source, maxImagePixels);
  const pixels = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { width, height, pixels, hasAlpha: hasTransparency(pixels), nearest: false };
}

function drawn(name: string, source: Drawable, maxImagePixels: number): ImageData {
  const { width, height } = sizeOf(source);
  if (width === 0 || height === 0) throw new ClipError("CLIP_IMAGE", `${name} has no pixels yet`);
  checkSize(name, { width, height }, maxImagePixels);
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;
  context.drawImage(source, 0, 0);
  try {
    return context.getImageData(0, 0, width, height);
  } catch (cause) {
    const wayOut = 'load it with crossOrigin = "anonymous" from a server that allows it';
    throw new ClipError("CLIP_IMAGE", `${name} comes from another origin, which does not allow reading it; ${wayOut}`, {
      cause,
    });
  }
}

function sizeOf(source: Drawable): Size {
  if (isA("HTMLImageElement", source)) return { width: source.naturalWidth, height: source.naturalHeight };
  if (isA("HTMLVideoElement", source)) return { width: source.videoWidth, height: source.videoHeight };
  if (isA("VideoFrame", source)) return { width: source.displayWidth, height: source.displayHeight };
  return source;
}
