// Everything a user can import from "clip-ts", by what it is for.

import "./core/globals.ts";

/** A model, ready to use: a folder or weight file to answers. */
export { type ClassifyOptions, ClipModel, loadClip, type LoadOptions } from "./model/zero-shot/clip.ts";
export { type CachedModel, listCache, removeCached } from "./model/hub/cache.ts";
export { defaultModel, type KnownModel, knownModels } from "./model/hub/known-models.ts";
export { type DownloadProgress } from "./core/progress.ts";
export { type FetchOptions, type FetchPlan } from "./core/fetch-options.ts";
export { pictogramModel } from "./model/hub/pictograms.ts";
export { resolveModel, type ResolveOptions } from "./model/hub/resolve.ts";

/** Embeddings: images and texts to unit vectors in one space. */
export { ClipEncoder, collect, dot, type EncodeTextOptions, type LogitsOptions } from "./model/embedding/encoder.ts";
export type { EncodeImageOptions, EncodeOptions, LazyImage, OnSkip } from "./model/embedding/image-stream.ts";
export type { EncoderOptions } from "./model/embedding/compiled-towers.ts";
export type { Source } from "./core/streams.ts";
export type { DecodeOptions, ImageSource, PageImage } from "./inputs/image/image-source.ts";
export type { PreprocessConfig } from "./inputs/image/preprocess-config.ts";
export type { RasterImage } from "./inputs/image/raster-image.ts";
export type { ResampleFilter } from "./inputs/image/resample.ts";

/** What weights of few bits (`dtype`) keep of a model. */
export { type Agreement, measureQuantization, type ProbeInputs } from "./model/embedding/quantization.ts";
export type { QuantizedDtype } from "./model/checkpoints/quantize.ts";

/** Labels as vectors, computed once for many images. */
export { type ClassifierOptions, type RankedLabel, ZeroShotClassifier } from "./model/zero-shot/classifier.ts";
export { type ClassLabel } from "./model/zero-shot/prompts.ts";
export { defaultTemplates, noneOfThese } from "./model/zero-shot/templates.ts";

/** What a model consists of, and its bare towers for comparisons. */
export { type Conversion, convertModel, type ConvertOptions } from "./model/pretrained/convert.ts";
export { forward, type ForwardInputs } from "./model/embedding/forward.ts";
export { inspectModel, type ModelReport } from "./model/pretrained/inspect.ts";
export { readModel, readTokenizer, type StoredModel } from "./model/pretrained/model-folder.ts";
export { type ReadModelOptions, type Vocabulary } from "./model/pretrained/model-files.ts";
export type { StoredParameters } from "./model/checkpoints/load.ts";
export type { StoredTensor } from "./model/checkpoints/stored-tensor.ts";
export { float32, int32, type TensorData } from "./core/tensor-data.ts";

/** Published architectures. */
export {
  type ClipConfig,
  type LoraConfig,
  type ResNetConfig,
  type TextConfig,
  type TransformerConfig,
  type VitConfig,
} from "./model/towers/config.ts";
export { clipConfigs, type ClipModelName } from "./model/towers/configs.ts";
export type { Activation } from "./model/nn/layers.ts";

/** What everything throws on purpose. */
export { ClipError, type ClipErrorCode } from "./core/errors.ts";
