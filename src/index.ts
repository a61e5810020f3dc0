// Everything a user can import from "clip-ts", by what it is for.

import "./core/globals.ts";

/** A model, ready to use: a folder or weight file to answers. */
export { type ClassifyOptions, ClipModel, loadClip, type LoadOptions } from "./zero-shot/index.ts";
export {
  type CachedModel,
  defaultModel,
  type DownloadProgress,
  type FetchOptions,
  type FetchPlan,
  type KnownModel,
  knownModels,
  listCache,
  pictogramModel,
  removeCached,
  resolveModel,
  type ResolveOptions,
} from "./hub/index.ts";

/** Embeddings: pictures and texts to unit vectors in one space. */
export {
  ClipEncoder,
  collect,
  dot,
  type EncodeImageOptions,
  type EncodeOptions,
  type EncoderOptions,
  type EncodeTextOptions,
  type LazyImage,
  type LogitsOptions,
  type OnSkip,
  type Source,
} from "./embedding/index.ts";
export type {
  DecodeOptions,
  ImageSource,
  PageImage,
  PreprocessConfig,
  RasterImage,
  ResampleFilter,
} from "./image/index.ts";

/** What weights of few bits (`dtype`) keep of a model. */
export { type Agreement, measureQuantization, type ProbeInputs } from "./embedding/index.ts";
export type { QuantizedDtype } from "./checkpoints/index.ts";

/** Labels as vectors, computed once for many pictures. */
export {
  type ClassifierOptions,
  type ClassLabel,
  defaultTemplates,
  noneOfThese,
  type RankedLabel,
  ZeroShotClassifier,
} from "./zero-shot/index.ts";

/** What a model consists of, and its bare towers for comparisons. */
export {
  type Conversion,
  convertModel,
  type ConvertOptions,
  forward,
  type ForwardInputs,
  inspectModel,
  type ModelReport,
  readModel,
  type ReadModelOptions,
  readTokenizer,
  type StoredModel,
  type Vocabulary,
} from "./embedding/index.ts";
export type { StoredParameters, StoredTensor } from "./checkpoints/index.ts";
export { float32, int32, type TensorData } from "./core/tensor-data.ts";

/** Published architectures. */
export {
  type ClipConfig,
  clipConfigs,
  type ClipModelName,
  type LoraConfig,
  type ResNetConfig,
  type TextConfig,
  type TransformerConfig,
  type VitConfig,
} from "./models/index.ts";
export type { Activation } from "./nn/index.ts";

/** What everything throws on purpose. */
export { ClipError, type ClipErrorCode } from "./core/errors.ts";
