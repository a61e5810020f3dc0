import type { DownloadProgress } from "../core/progress.ts";

/** How a model is fetched. In a file of its own, so that public types need none of what fetches. */
export interface FetchOptions {
  /** Take what is in the cache, and ask nobody. Default: HF_HUB_OFFLINE. */
  readonly offline?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
}
