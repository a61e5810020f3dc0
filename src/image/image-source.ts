import { type Kind, oneOf, type OptionKinds, wholeNumber } from "../core/options.ts";
import type { RasterImage } from "./raster-image.ts";

/** An object of a class that only pages have; never where the types know of no such class. */
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

/** A picture: the path of its file (in a page its address), the file or its bytes, something that a page shows, or already decoded. */
export type ImageSource = string | Uint8Array | Blob | PageImage | RasterImage;

/** Pixels beyond which a picture is refused before it is decoded: 512 MiB of RGB, where Pillow refuses as well. */
export const defaultMaxImagePixels = 178_956_970;

/** How to read a picture. */
export interface DecodeOptions {
  /**
   * `"apply"` turns the picture as its EXIF orientation says, as a person would see it; `"ignore"` takes the rows as
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
}

/** Whether it is decoded already. */
export function isRasterImage(source: ImageSource): source is RasterImage {
  return typeof source === "object" && "pixels" in source && "nearest" in source;
}

/** The kind of each option of {@link DecodeOptions}. */
export const decodeKinds: OptionKinds<DecodeOptions> = {
  orientation: oneOf("apply", "ignore"),
  maxImagePixels: wholeNumber(1),
  jpegDecoder: oneOf("browser", "library"),
};

/** What cannot be an image in any form; the rest is seen by whoever decodes it. */
export const imageKind: Kind = {
  wanted: "an image: a path, the bytes of a file, or a decoded image",
  fits: (value) =>
    typeof value === "string" ||
    (typeof value === "object" && value !== null && !Array.isArray(value) && !("then" in value)),
};
