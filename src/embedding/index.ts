/** Models on disk. */
export { readModel, readTokenizer, type StoredModel } from "./model-folder.ts";
export { type ModelToSave, saveModel } from "./save-model.ts";
export type { ReadModelOptions, Vocabulary } from "./model-files.ts";
export { isLora, loraConfigSchema, mergeLora } from "./lora.ts";
export { saveLora } from "./save-lora.ts";
export { captionWords } from "./words.ts";
export { type Conversion, conversions, convertModel, type ConvertOptions } from "./convert.ts";
export { misread } from "./misread.ts";
export { inspectModel, type ModelReport } from "./inspect.ts";

/** Pictures and texts to unit vectors, in streams. */
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
} from "./encoder.ts";

export { mapInOrder } from "./batches.ts";

/** What weights of few bits keep of a model. */
export { type Agreement, measureQuantization, type ProbeInputs } from "./quantization.ts";

/** The bare towers, for comparisons. */
export { forward, type ForwardInputs, pooledPlaces } from "./forward.ts";
