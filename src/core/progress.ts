export interface DownloadProgress {
  readonly url: string;
  /** Bytes received, including earlier attempts. */
  readonly received: number;
  /** Total bytes; undefined if the server does not report them. */
  readonly total: number | undefined;
}
