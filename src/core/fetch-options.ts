import type { DownloadProgress } from "./progress.ts";

/** A download about to start. */
export interface FetchPlan {
  readonly name: string;
  /** Bytes still to download. */
  readonly bytes: number;
  readonly folder: string;
}

/** Options for downloading a model. Kept apart from the downloader, so that public types do not import it. */
export interface FetchOptions {
  /** Use only the cache, never the network. Default: HF_HUB_OFFLINE. */
  readonly offline?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Called before the first byte arrives; not called if nothing is missing. */
  readonly onFetch?: ((plan: FetchPlan) => void) | undefined;
  /** Called if the hub is unreachable and the cached copy is used, which may be outdated. */
  readonly onStale?: ((reason: string) => void) | undefined;
}
