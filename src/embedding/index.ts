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
export { captionWords, unknownWords } from "./words.ts";
