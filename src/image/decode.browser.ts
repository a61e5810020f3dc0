import { ClipError } from "../core/errors.ts";
import { checkKind, checkOptions } from "../core/options.ts";
import {
  decodeKinds,
  type DecodeOptions,
  defaultMaxImagePixels,
  imageKind,
  type ImageSource,
  isRasterImage,
  type PageImage,
} from "./image-source.ts";
import type { decodeImage as inNode } from "./decode.ts";
import { isIndexedGif } from "./gif.ts";
import type { RasterImage, Size } from "./raster-image.ts";

/**
 * Decodes a picture in a page. PNG goes through a library, since a canvas multiplies colours with alpha and may convert them:
 * pixels equal those that Node reads. JPEG does so on demand (`jpegDecoder`), and where its orientation is to be ignored. WebP, GIF,
 * AVIF and what else the browser knows is decoded by it, without colour management, and turned as it says.
 *
 * @param source - an address; a `File`, `Blob` or bytes; an image, canvas, video frame or `ImageData` of the page; what is
 *   decoded already is given back.
 * @throws {ClipError} `CLIP_IMAGE` if it cannot be fetched, is damaged, no picture, of another site that does not let it be read,
 *   or larger than `maxImagePixels`.
 */
export const decodeImage: typeof inNode = async (source, options = {}) => {
  checkKind("decodeImage", source, imageKind);
  checkOptions("decodeImage", options, decodeKinds);
  if (isRasterImage(source)) return source;
  const { maxImagePixels = defaultMaxImagePixels } = options;
  const name = nameOf(source);
  if (typeof source === "object" && !(source instanceof Uint8Array) && !(source instanceof Blob)) {
    return draw(name, await readyToDraw(name, source), maxImagePixels);
  }
  const bytes = await bytesOf(name, source);
  if (bytes.length === 0) throw new ClipError("CLIP_IMAGE", `${name} is empty (0 bytes)`);
  if (isPng(bytes)) return decodePng(name, bytes, maxImagePixels);
  if (isJpeg(bytes)) {
    const frame = jpegFrame(name, bytes);
    checkSize(name, frame, maxImagePixels);
    // Browsers turn what says how it wants to be turned, whatever they are asked.
    if (options.jpegDecoder === "library" || options.orientation === "ignore")
      return decodeJpeg(name, bytes, frame, options);
  }
  return decodeByBrowser(name, bytes, options);
};

function nameOf(source: ImageSource): string {
  if (typeof source === "string") return source;
  return source instanceof File && source.name ? source.name : "the picture";
}

async function bytesOf(name: string, source: string | Uint8Array | Blob): Promise<Uint8Array<ArrayBuffer>> {
  if (source instanceof Blob) return new Uint8Array(await source.arrayBuffer());
  if (source instanceof Uint8Array) return source.slice();
  const response = await fetch(source).catch((cause: Error) => {
    throw new ClipError("CLIP_IMAGE", `${name} cannot be fetched: ${cause.message}`, { cause });
  });
  if (!response.ok)
    throw new ClipError("CLIP_IMAGE", `${name} cannot be fetched: the server answers ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
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

const isPng = (bytes: Uint8Array): boolean => [0x89, 0x50, 0x4e, 0x47].every((byte, i) => bytes[i] === byte);
const isJpeg = (bytes: Uint8Array): boolean => bytes[0] === 0xff && bytes[1] === 0xd8;

/** Kinds of PNG, in byte 25: bit 1 is a palette, bit 2 colour, bit 4 alpha. */
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
  // One colour or grey that means "transparent" does not count as alpha in the reference.
  const isColourKeyed = (kind & (paletteBit | alphaBit)) === 0;
  if (isColourKeyed) for (let i = 3; i < pixels.length; i += 4) pixels[i] = 255;
  const hasAlpha = (kind & alphaBit) !== 0 || ((kind & paletteBit) !== 0 && hasPaletteAlpha(header));
  return { width, height, pixels, hasAlpha, nearest: (kind & paletteBit) !== 0 || depth === 1 };
}

/** Whether there is a chunk `tRNS` before the pixels' (`IDAT`). */
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
  { components, isWhole }: JpegFrame,
  { orientation = "apply" }: DecodeOptions,
): Promise<RasterImage> {
  if (components === 4)
    throw new ClipError("CLIP_IMAGE", `${name} is CMYK, which the library does not read; convert it to RGB`);
  // The library fills up with grey what is missing.
  if (!isWhole) throw damaged(name, "its end is missing");
  const { default: decode } = await import("@jsquash/jpeg/decode.js");
  const { width, height, data } = await decode(bytes.buffer, { preserveOrientation: orientation === "apply" }).catch(
    (cause: unknown) => {
      throw damaged(name, cause instanceof Error ? cause.message : "its content makes no sense");
    },
  );
  return { width, height, pixels: new Uint8Array(data.buffer), hasAlpha: false, nearest: false };
}

/** What a JPEG says of itself before its pixels. */
interface JpegFrame extends Size {
  readonly components: number;
  /** Whether an end mark follows the pixels. */
  readonly isWhole: boolean;
}

/** @throws {ClipError} `CLIP_IMAGE` if no frame is described (markers FFC0 to FFCF but for tables). */
function jpegFrame(name: string, bytes: Uint8Array<ArrayBuffer>): JpegFrame {
  const view = new DataView(bytes.buffer);
  for (let at = 2; at + 10 <= bytes.length && bytes[at] === 0xff;) {
    const marker = bytes[at + 1]!;
    // Any number of these may fill up what is before a marker.
    if (marker === 0xff) {
      at++;
      continue;
    }
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      const isWhole = endsWhole(bytes, at);
      return { width: view.getUint16(at + 7), height: view.getUint16(at + 5), components: bytes[at + 9]!, isWhole };
    }
    at += 2 + view.getUint16(at + 2);
  }
  throw damaged(name, "it does not say how large it is");
}

/** Whether FFD9 stands somewhere behind a place. */
function endsWhole(bytes: Uint8Array, after: number): boolean {
  for (let at = bytes.lastIndexOf(0xd9); at > after; at = bytes.lastIndexOf(0xd9, at - 1))
    if (bytes[at - 1] === 0xff) return true;
  return false;
}

async function decodeByBrowser(
  name: string,
  bytes: Uint8Array<ArrayBuffer>,
  { maxImagePixels = defaultMaxImagePixels }: DecodeOptions,
): Promise<RasterImage> {
  const bitmap = await createImageBitmap(new Blob([bytes]), {
    colorSpaceConversion: "none",
    premultiplyAlpha: "none",
  }).catch((cause: unknown) => {
    throw new ClipError(
      "CLIP_IMAGE",
      `${name} is damaged, or not a picture that this browser can read; convert it to JPEG or PNG`,
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

/** Workers, and some browsers, do not have all of the classes. */
function isA<Name extends keyof PageClasses>(name: Name, source: unknown): source is PageClasses[Name] {
  return name in globalThis && source instanceof globalThis[name];
}

/** An image that has been loaded. */
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

/** The pixels of what a page can show. Where they are transparent, a canvas has rounded their colours. */
function draw(name: string, source: PageImage, maxImagePixels: number): RasterImage {
  const { data, width, height } = source instanceof ImageData ? source : drawn(name, source, maxImagePixels);
  const pixels = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { width, height, pixels, hasAlpha: hasTransparency(pixels), nearest: false };
}

function drawn(name: string, source: Drawable, maxImagePixels: number): ImageData {
  const { width, height } = sizeOf(source);
  if (width === 0 || height === 0) throw new ClipError("CLIP_IMAGE", `${name} has no pixels (yet)`);
  checkSize(name, { width, height }, maxImagePixels);
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;
  context.drawImage(source, 0, 0);
  try {
    return context.getImageData(0, 0, width, height);
  } catch (cause) {
    const wayOut = 'load it with crossOrigin = "anonymous" from a server that allows it';
    throw new ClipError("CLIP_IMAGE", `${name} is of another site, which does not let it be read; ${wayOut}`, {
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
