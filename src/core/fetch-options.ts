import type { DownloadProgress } from "./progress.ts";

/** A download that is about to begin. */
export interface FetchPlan {
  /** The repository's. */
  readonly name: string;
  /** How many are still to come. */
  readonly bytes: number;
  /** Where they will lie. */
  readonly folder: string;
}

/** How a model is fetched. In a file of its own, so that public types need none of what fetches. */
export interface FetchOptions {
  /** Take what is in the cache, and ask nobody. Default: HF_HUB_OFFLINE. */
  readonly offline?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Is told before the first byte comes; not called where nothing is missing. */
  readonly onFetch?: ((plan: FetchPlan) => void) | undefined;
  /** Is told that the hub cannot be asked for the newest state, and the model is taken as it was fetched before. */
  readonly onStale?: ((reason: string) => void) | undefined;
}
