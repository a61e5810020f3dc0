import { abortSignal, type Kind, oneOf, type OptionKinds, text, wholeNumber } from "../../core/options.ts";
import type { OwnBytes } from "../../core/dtype.ts";
import { ClipError } from "../../core/errors.ts";
import type { RasterImage } from "./raster-image.ts";

/** An object of a class that only some surroundings have; never where the types know of no such class. */
type Instance<Name extends string> =
  typeof globalThis extends Record<Name, { readonly prototype: infer Value }> ? Value : never;

/** What a page can show: pixels as the browser has decoded them. */
export type PageImage =
  | Instance<"HTMLImageElement">
  | Instance<"HTMLCanvasElement">
  | Instance<"HTMLVideoElement">
  | Instance<"OffscreenCanvas">
  | Instance<"ImageBitmap">
  | Instance<"ImageData">
  | Instance<"VideoFrame">;

/** The content of an image file. */
export type ImageBytes = ArrayBufferView | ArrayBufferLike | Blob;

/**
 * An image: the path of its file (in a page its address relative to the page); an address, as a string or `URL`, that begins with
 * `https:`, `http:`, `data:`, `blob:` or, in Node, `file:`; the bytes of the file in a buffer, a view of one, a `Blob` or a `File`;
 * something that a page shows; or an image that is already decoded.
 */
export type ImageSource = string | Instance<"URL"> | ImageBytes | PageImage | RasterImage;

/** Pixels beyond which an image is refused before it is decoded: 512 MiB of RGB, where Pillow refuses as well. */
export const defaultMaxImagePixels = 178_956_970;

/** How to read an image. */
export interface DecodeOptions {
  /**
   * `"apply"` turns the image as its EXIF orientation says, as a person would see it; `"ignore"` takes the rows as
   * stored, as the reference implementations do. Default `"apply"`.
   */
  readonly orientation?: "apply" | "ignore" | undefined;
  /** Largest width × height accepted; checked before decoding. Default {@link defaultMaxImagePixels}. */
  readonly maxImagePixels?: number | undefined;
  /**
   * In a page: who decodes JPEG. `"browser"` (default) is fast; Chromium's pixels equal those that Node reads, other browsers' may
   * differ by a few levels. `"library"` is MozJPEG in WebAssembly, whose pixels are the same in every browser.
   */
  readonly jpegDecoder?: "browser" | "library" | undefined;
  /** The image's name in error messages. Default: its path, address or file name; else "the image". */
  readonly name?: string | undefined;
  /** Longest time to fetch an image from an address, in milliseconds. Default 60,000. */
  readonly timeoutMs?: number | undefined;
  /** Stops fetching an image, and waiting for memory to decode it. */
  readonly signal?: AbortSignal | undefined;
}

/** Whether it is meant to be an image that is already decoded; {@link checkRaster} tells whether it is a valid one. */
export function isRasterImage(source: ImageSource): source is RasterImage {
  return typeof source === "object" && source !== null && "pixels" in source;
}

/** Whether it holds the bytes of a file, whichever realm its class is of. */
export function isImageBytes(source: unknown): source is ImageBytes {
  return source instanceof Blob || ArrayBuffer.isView(source) || isBuffer(source);
}

function isBuffer(source: unknown): source is ArrayBufferLike {
  return /^\[object (Shared)?ArrayBuffer\]$/.test(Object.prototype.toString.call(source));
}

/** The bytes; a copy where another thread could change them. */
export async function bytesOf(source: ImageBytes): Promise<OwnBytes> {
  if (source instanceof Blob) return new Uint8Array(await source.arrayBuffer());
  const view = ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
    : new Uint8Array(source);
  const isShared = Object.prototype.toString.call(view.buffer) === "[object SharedArrayBuffer]";
  return (isShared ? view.slice() : view) as OwnBytes;
}

/** The address that a source is, if it is one. */
export function addressOf(source: unknown): URL | undefined {
  if (source instanceof URL) return source;
  if (typeof source !== "string") return undefined;
  return /^(https?:|data:|blob:|file:)/i.test(source) && URL.canParse(source) ? new URL(source) : undefined;
}

/** A longer address is shortened in messages: one of `data:` holds the whole image. */
const longestName = 200;

/** What messages call a source. */
export function nameOf(source: ImageSource, { name }: DecodeOptions): string {
  if (name !== undefined) return name;
  if (source instanceof URL || typeof source === "string") {
    if (!addressOf(source)) return String(source);
    const text = String(source).replace(/^(https?:\/\/)[^/@]*@/i, "$1"); // no password in a message
    return text.length > longestName ? `${text.slice(0, longestName)}…` : text;
  }
  return typeof File !== "undefined" && source instanceof File && source.name ? source.name : "the image";
}

/** The error for something that is no {@link ImageSource}. */
export function noImageSource(source: unknown): ClipError {
  const met = source === null ? "null" : typeof source === "object" ? "another object" : `a ${typeof source}`;
  const wanted = "an image is a path, an address, the bytes of a file, or { width, height, pixels, hasAlpha, nearest }";
  return new ClipError("CLIP_IMAGE", `${wanted}; this is ${met}`);
}

/** The kind of each option of {@link DecodeOptions}. */
export const decodeKinds: OptionKinds<DecodeOptions> = {
  orientation: oneOf("apply", "ignore"),
  maxImagePixels: wholeNumber(1),
  jpegDecoder: oneOf("browser", "library"),
  name: text,
  timeoutMs: wholeNumber(1),
  signal: abortSignal,
};

/** What cannot be an image in any form; the rest is seen by whoever decodes it. */
export const imageKind: Kind = {
  wanted: "an image: a path, an address, the bytes of a file, or a decoded image",
  fits: (value) =>
    typeof value === "string" ||
    (typeof value === "object" && value !== null && !Array.isArray(value) && !("then" in value)),
};
