// The door "clip-ts/image": decoding and preprocessing of images, and augmentation.

import "./core/globals.ts";

/** Reading images. */
export { decodeImage } from "./inputs/image/decode.ts";
export { defaultMaxImagePixels } from "./inputs/image/image-source.ts";
export type { DecodeOptions, ImageBytes, ImageSource, PageImage } from "./inputs/image/image-source.ts";
export { sniffedBytes, type SniffedImage, sniffImage } from "./inputs/image/sniff.ts";
export type { RasterImage } from "./inputs/image/raster-image.ts";

/** From an image to pixel values. */
export { preprocessImage } from "./inputs/image/preprocess.ts";
export type { PreprocessedImage } from "./inputs/image/preprocess.ts";
export { clipPreprocess } from "./inputs/image/preprocess-config.ts";
export type { PreprocessConfig } from "./inputs/image/preprocess-config.ts";
export { normalizePixels } from "./inputs/image/normalize.ts";
export { resampleGrid, type ResampleFilter } from "./inputs/image/resample.ts";

/** Augmentation. */
export { augmentImage, photoAugment } from "./inputs/image/augment.ts";
export type { AugmentConfig, RandomPlacement, RandomResizedCrop } from "./inputs/image/augment.ts";
export { Random } from "./core/random.ts";
