// Everything that can be imported from "clip-ts" in a page: what a page can do of index.ts, by what it is for.

import "./core/globals.ts";

/** A model, ready to use: its address, or its name on Hugging Face's hub, to answers. */
export { type ClassifyOptions, ClipModel, loadClip, type LoadOptions } from "./model/zero-shot/clip.ts";
export { bestDevice, type Device } from "./engine/runtime/devices.browser.ts";
export { type KnownModel, knownModels } from "./model/hub/known-models.ts";
export type { DownloadProgress } from "./core/progress.ts";
export { clearCache } from "./core/files.browser.ts";

/** Embeddings: images and texts to unit vectors in one space. */
export { ClipEncoder, collect, dot, type EncodeTextOptions, type LogitsOptions } from "./model/embedding/encoder.ts";
export type { EncodeImageOptions, EncodeOptions, LazyImage, OnSkip } from "./model/embedding/image-stream.ts";
export type { EncoderOptions } from "./model/embedding/compiled-towers.ts";
export type { Source } from "./core/streams.ts";
export { readModel, readTokenizer, type StoredModel } from "./model/pretrained/model-folder.ts";

/** Images of a page. */
export { decodeImage } from "./inputs/image/decode.browser.ts";
export type { DecodeOptions, ImageSource, PageImage } from "./inputs/image/image-source.ts";
export type { PreprocessConfig } from "./inputs/image/preprocess-config.ts";
export type { RasterImage } from "./inputs/image/raster-image.ts";

/** Labels as vectors, computed once for many images. */
export { type ClassifierOptions, type RankedLabel, ZeroShotClassifier } from "./model/zero-shot/classifier.ts";
export { type ClassLabel } from "./model/zero-shot/prompts.ts";
export { defaultTemplates, noneOfThese } from "./model/zero-shot/templates.ts";

/** The bare towers, for comparisons. */
export { forward, type ForwardInputs } from "./model/embedding/forward.ts";
export { float32, int32, type TensorData } from "./core/tensor-data.ts";

/** What everything throws on purpose. */
export { ClipError, type ClipErrorCode } from "./core/errors.ts";
