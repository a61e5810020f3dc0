/** How far a download is. */
export interface DownloadProgress {
  readonly url: string;
  /** Bytes that are here, those of earlier attempts among them. */
  readonly received: number;
  /** Undefined where the server does not say. */
  readonly total: number | undefined;
}
