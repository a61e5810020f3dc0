// The door "clip-ts" in Node.

export * from "./everywhere.ts";

/** Models on this machine. */
export { type CachedModel, listCache, removeCached } from "./model/hub/cache.ts";
export { type FetchOptions, type FetchPlan } from "./core/fetch-options.ts";
export { pictogramModel } from "./model/hub/pictograms.ts";
export { resolveModel, type ResolveOptions } from "./model/hub/resolve.ts";
export { type Conversion, convertModel, type ConvertOptions } from "./model/pretrained/convert.ts";
export type { WriteProgress } from "./core/atomic-write.ts";
export { inspectModel, type ModelReport } from "./model/pretrained/inspect.ts";
export type { StoredParameters } from "./model/checkpoints/load.ts";
export type { StoredTensor } from "./model/checkpoints/stored-tensor.ts";

/** The loss of quality through quantized weights (`dtype`). */
export {
  type Agreement,
  type AgreementInputs,
  type AgreementOptions,
  measureQuantization,
} from "./model/embedding/quantization.ts";

/** Architectures. */
export {
  type ClipConfig,
  type LoraConfig,
  type ResNetConfig,
  type TextConfig,
  type TransformerConfig,
  type VitConfig,
} from "./model/towers/config.ts";
export type { Activation } from "./model/nn/layers.ts";
export type { ResampleFilter } from "./inputs/image/resample.ts";
