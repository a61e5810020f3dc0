/** Weight files: what they hold, and values on request. */
export { openSafetensors } from "./safetensors.ts";
export { bytesOf, type DeferredTensor, writeDeferred, writeSafetensors } from "./write-safetensors.ts";
export { readFloats, readIntegers, type StoredTensor } from "./stored-tensor.ts";
export { openWeightFile, type WeightFile } from "./weight-file.ts";

/** Models: parameters by our paths, from files of every layout. */
export {
  loadParameters,
  readParameter,
  readParameters,
  storedParameters,
  type StoredParameters,
  translateNames,
} from "./load.ts";
export { type QuantizedDtype, quantizedParameters } from "./quantize.ts";
export { saveParameters } from "./save.ts";

/** Architectures: from JSON, or from the shapes in a weight file. */
export { clipConfigSchema } from "./config-schema.ts";
export { inferConfig } from "./infer-config.ts";

/** Others' configurations. */
export { toHuggingFaceConfig, toHuggingFacePreprocess } from "./configs/hugging-face.ts";
export { differences } from "./configs/equal.ts";
export { publishedVocabulary, toOpenClipConfig } from "./configs/open-clip.ts";
