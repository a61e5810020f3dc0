// The exports that "clip-ts" has in Node and in pages.

import "./core/globals.ts";

/** A model, ready to use. */
export { type ClassifyOptions, ClipModel, loadClip, type LoadOptions } from "./model/zero-shot/clip.ts";
export { defaultModel, type KnownModel, knownModels } from "./model/hub/known-models.ts";
export { type DownloadProgress } from "./core/progress.ts";

/** Embeddings: unit vectors of images and texts. */
export { ClipEncoder, collect, dot, type EncodeTextOptions, type LogitsOptions } from "./model/embedding/encoder.ts";
export type { EncodeImageOptions, EncodeOptions, LazyImage, OnSkip } from "./model/embedding/image-stream.ts";
export type { EncoderOptions } from "./model/embedding/compiled-towers.ts";
export type { Source } from "./core/streams.ts";
export type { DecodeOptions, ImageSource, PageImage } from "./inputs/image/image-source.ts";
export type { PreprocessConfig, ResizeMode } from "./inputs/image/preprocess-config.ts";
export type { RasterImage } from "./inputs/image/raster-image.ts";

/** Zero-shot classifiers, computed once for many images. */
export {
  type ClassifierOptions,
  type RankedLabel,
  type RankOptions,
  ZeroShotClassifier,
} from "./model/zero-shot/classifier.ts";
export { type ClassLabel } from "./model/zero-shot/prompts.ts";
export { defaultTemplates, noneOfThese } from "./model/zero-shot/templates.ts";

/** The parts of a model, and the outputs of its towers. */
export { forward, type ForwardInputs, type ForwardOptions } from "./model/embedding/forward.ts";
export { readModel, readTokenizer, type StoredModel } from "./model/pretrained/model-folder.ts";
export { type ReadModelOptions, type Vocabulary } from "./model/pretrained/model-files.ts";
export type { QuantizedDtype } from "./model/checkpoints/quantize.ts";
export { float32, int32, type TensorData } from "./core/tensor-data.ts";

/** Errors. */
export { ClipError, type ClipErrorCode } from "./core/errors.ts";
