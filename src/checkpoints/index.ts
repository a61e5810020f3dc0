/** Weight files: what they hold, and values on request. */
export { openSafetensors, writeSafetensors } from "./safetensors.ts";
export { readFloats, readIntegers, type StoredTensor } from "./stored-tensor.ts";
export { openWeightFile } from "./weight-file.ts";

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
export { withImageSize } from "./image-size.ts";

/** Architectures: from JSON, or from the shapes in a weight file. */
export { clipConfigSchema } from "./config-schema.ts";
export { inferConfig } from "./infer-config.ts";

/** Others' configurations. */
export {
  huggingFaceConfig,
  huggingFacePreprocess,
  isHuggingFaceConfig,
  toHuggingFaceConfig,
  toHuggingFacePreprocess,
} from "./configs/hugging-face.ts";
export { refuseUnlessEqual } from "./configs/equal.ts";
export { openClipCleaning, openClipConfig, toOpenClipConfig } from "./configs/open-clip.ts";
