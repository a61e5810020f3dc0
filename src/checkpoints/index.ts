/** Weight files: what they hold, and values on request. */
export {
  openSafetensors,
  readFloats,
  readIntegers,
  type StoredTensor,
  type WritableTensor,
  writeSafetensors,
} from "./safetensors.ts";

/** Models: parameters by our paths, from files in our names or OpenAI's. */
export { loadParameters, readParameters, storedParameters, type StoredParameters } from "./load.ts";
export { saveParameters } from "./save.ts";

/** Architectures: from JSON, or from the shapes in a weight file. */
export { clipConfigSchema } from "./config-schema.ts";
export { inferConfig } from "./infer-config.ts";
