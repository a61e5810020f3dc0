/** Models on disk. */
export {
  type ModelToSave,
  pictogramModel,
  readModel,
  type ReadModelOptions,
  readTokenizer,
  saveModel,
  type StoredModel,
} from "./model-folder.ts";
export { captionWords } from "./words.ts";

/** Pictures and texts to unit vectors, in streams. */
export {
  ClipEncoder,
  collect,
  dot,
  type EncodeOptions,
  type EncodeTextOptions,
  type ImageSource,
  type Source,
} from "./encoder.ts";

/** The bare towers, for comparisons. */
export { forward, type ForwardInputs } from "./forward.ts";
