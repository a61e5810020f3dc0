/** A model's place on this machine, fetched if need be. */
export { resolveModel, type ResolveOptions } from "./resolve.ts";
export type { FetchOptions } from "./fetch-options.ts";
export type { DownloadProgress } from "../core/progress.ts";

/** What was fetched. */
export { type CachedModel, listCache, removeCached } from "./cache.ts";

/** Published models. */
export { isPublishedName, type KnownModel, knownModels } from "./known-models.ts";
