/** A model's place on this machine, fetched if need be. */
export { resolveModel, type ResolveOptions } from "./resolve.ts";
export type { FetchOptions, FetchPlan } from "./fetch-options.ts";
export type { DownloadProgress } from "../core/progress.ts";

/** What was fetched. */
export { type CachedModel, listCache, modelName, removeCached } from "./cache.ts";

/** Published models. */
export {
  defaultModel,
  isModelName,
  type KnownModel,
  knownModels,
  pictograms,
  pictogramsNotice,
} from "./known-models.ts";

/** The model that comes with this package. */
export { pictogramModel } from "./pictograms.ts";
