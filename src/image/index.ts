// Everything a user can import from "clip-ts/image", by what it is for.

import "../core/globals.ts";

/** Reading pictures. */
export { decodeImage } from "./decode.ts";
export {
  type DecodeOptions,
  defaultMaxImagePixels,
  type ImageBytes,
  type ImageSource,
  type PageImage,
} from "./image-source.ts";
export { sniffedBytes, type SniffedImage, sniffImage } from "./sniff.ts";
export type { RasterImage } from "./raster-image.ts";

/** From a picture to what the image tower reads. */
export { preprocessImage } from "./preprocess.ts";
export type { PreprocessedImage } from "./preprocess.ts";
export { clipPreprocess } from "./preprocess-config.ts";
export type { PreprocessConfig } from "./preprocess-config.ts";
export { normalizePixels } from "./normalize.ts";
export { resampleGrid, type ResampleFilter } from "./resample.ts";

/** Varying pictures for training. */
export { augmentImage, photoAugment } from "./augment.ts";
export type { AugmentConfig, RandomPlacement, RandomResizedCrop } from "./augment.ts";
export { Random } from "../core/random.ts";
