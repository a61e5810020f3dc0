import { abortSignal, type Kind, oneOf, type OptionKinds, text, wholeNumber } from "../../core/options.ts";
import type { OwnBytes } from "../../core/dtype.ts";
import { ClipError } from "../../core/errors.ts";
import type { RasterImage } from "./raster-image.ts";

/** Instance type of a global class; `never` if the program's types lack the class. */
type Instance<Name extends string> =
  typeof globalThis extends Record<Name, { readonly prototype: infer Value }> ? Value : never;

/** An object of a page that shows an image, with pixels decoded by the browser. */
export type PageImage =
  | Instance<"HTMLImageElement">
  | Instance<"HTMLCanvasElement">
  | Instance<"HTMLVideoElement">
  | Instance<"OffscreenCanvas">
  | Instance<"ImageBitmap">
  | Instance<"ImageData">
  | Instance<"VideoFrame">;

/** Content of an image file. */
export type ImageBytes = ArrayBufferView | ArrayBufferLike | Blob;

/**
 * An image: the path of its file (in a page, an address relative to the page); an address, as a string or `URL`, with
 * `https:`, `http:`, `data:`, `blob:` or, in Node, `file:`; the file's bytes as a buffer, view, `Blob` or `File`; an
 * image object of a page; or a decoded image.
 */
export type ImageSource = string | Instance<"URL"> | ImageBytes | PageImage | RasterImage;

/** Pixel limit of an image: 512 MiB of RGB, the same as Pillow's. */
export const defaultMaxImagePixels = 178_956_970;

export interface DecodeOptions {
  /**
   * `"apply"` turns the image by its EXIF orientation, as viewers do; `"ignore"` keeps the stored rows, as the
   * reference implementations do. Default `"apply"`.
   */
  readonly orientation?: "apply" | "ignore" | undefined;
  /** Largest width × height accepted; checked before decoding. Default {@link defaultMaxImagePixels}. */
  readonly maxImagePixels?: number | undefined;
  /**
   * JPEG decoder in a page. `"browser"` (default) is fast; Chromium's pixels equal Node's, other browsers' may differ
   * by a few levels. `"library"` is MozJPEG in WebAssembly, with the same pixels in every browser.
   */
  readonly jpegDecoder?: "browser" | "library" | undefined;
  /** Name of the image in error messages. Default: its path, address or file name; else "the image". */
  readonly name?: string | undefined;
  /** Time limit for fetching an image from an address, in milliseconds. Default 60,000. */
  readonly timeoutMs?: number | undefined;
  /** Aborts fetching an image or waiting for memory to decode it. */
  readonly signal?: AbortSignal | undefined;
}

/** True for a decoded image, whose validity {@link checkRaster} checks. */
export function isRasterImage(source: ImageSource): source is RasterImage {
  return typeof source === "object" && source !== null && "pixels" in source;
}

/** True for the bytes of a file, from any realm. */
export function isImageBytes(source: unknown): source is ImageBytes {
  return source instanceof Blob || ArrayBuffer.isView(source) || isBuffer(source);
}

function isBuffer(source: unknown): source is ArrayBufferLike {
  return /^\[object (Shared)?ArrayBuffer\]$/.test(Object.prototype.toString.call(source));
}

/** The bytes of a file, copied if another thread could change them. */
export async function bytesOf(source: ImageBytes): Promise<OwnBytes> {
  if (source instanceof Blob) return new Uint8Array(await source.arrayBuffer());
  const view = ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
    : new Uint8Array(source);
  const isShared = Object.prototype.toString.call(view.buffer) === "[object SharedArrayBuffer]";
  return (isShared ? view.slice() : view) as OwnBytes;
}

/** The source as an address; undefined if it is none. */
export function addressOf(source: unknown): URL | undefined {
  if (source instanceof URL) return source;
  if (typeof source !== "string") return undefined;
  return /^(https?:|data:|blob:|file:)/i.test(source) && URL.canParse(source) ? new URL(source) : undefined;
}

/** Longest address in messages: a `data:` address holds the whole image. */
const longestName = 200;

/** Name of a source in messages. */
export function nameOf(source: ImageSource, { name }: DecodeOptions): string {
  if (name !== undefined) return name;
  if (source instanceof URL || typeof source === "string") {
    if (!addressOf(source)) return String(source);
    const text = String(source).replace(/^(https?:\/\/)[^/@]*@/i, "$1"); // no password in a message
    return text.length > longestName ? `${text.slice(0, longestName)}…` : text;
  }
  return typeof File !== "undefined" && source instanceof File && source.name ? source.name : "the image";
}

/** The error for a value that is not an {@link ImageSource}. */
export function noImageSource(source: unknown): ClipError {
  const met = source === null ? "null" : typeof source === "object" ? "another object" : `a ${typeof source}`;
  const wanted = "an image is a path, an address, the bytes of a file, or { width, height, pixels, hasAlpha, nearest }";
  return new ClipError("CLIP_IMAGE", `${wanted}; got ${met}`);
}

export const decodeKinds: OptionKinds<DecodeOptions> = {
  orientation: oneOf("apply", "ignore"),
  maxImagePixels: wholeNumber(1),
  jpegDecoder: oneOf("browser", "library"),
  name: text,
  timeoutMs: wholeNumber(1),
  signal: abortSignal,
};

/** Rejects what cannot be an image in any form; decoding checks the rest. */
export const imageKind: Kind = {
  wanted: "an image: a path, an address, the bytes of a file, or a decoded image",
  fits: (value) =>
    typeof value === "string" ||
    (typeof value === "object" && value !== null && !Array.isArray(value) && !("then" in value)),
};
