import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, readFile, rename, rm, statfs, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { EnvHttpProxyAgent, fetch, type Headers, type Response } from "undici";
import { cannotWrite, makeFolder } from "./atomic-write.ts";
import { ClipError } from "./errors.ts";
import { fileSize } from "./files.ts";
import type { DownloadProgress } from "./progress.ts";
import { withLock } from "./lock.ts";

/** Expected checksum of a file; for small files the hub reports Git's SHA-1. */
export type Checksum = { readonly sha256: string } | { readonly gitSha1: string };

export interface DownloadOptions {
  /** Sent only over https, and not to other hosts after a redirect. */
  readonly token?: string | undefined;
  /** Known size in bytes. */
  readonly size?: number | undefined;
  readonly checksum?: Checksum | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
}

/** Attempts in a row without new bytes before giving up. */
const maxIdleAttempts = 4;
/** Total attempts: a server might send a little each time and never finish. */
const maxAttempts = 100;
/** A reachable server answers sooner; some firewalls drop connections silently. */
const maxConnectSeconds = 10;
/** Size limit for responses of unknown length; no model is larger. */
export const maxBytes = 200e9;
/** Longest pause granted to a server's Retry-After. */
const maxPauseSeconds = 30;

/** Reads the proxy from HTTPS_PROXY, HTTP_PROXY and NO_PROXY. */
let dispatcher: EnvHttpProxyAgent | undefined;

/** `fetch` through the environment's proxy; a stalled connection is an error. */
export function proxiedFetch(...[url, init]: Parameters<typeof fetch>): ReturnType<typeof fetch> {
  const timeout = 1000 * stallSeconds();
  const connect = { timeout: Math.min(timeout, 1000 * maxConnectSeconds) };
  dispatcher ??= new EnvHttpProxyAgent({ headersTimeout: timeout, bodyTimeout: timeout, connect });
  return fetch(url, { ...init, dispatcher });
}

/** Authorization header for https addresses only: plain http would expose the token. */
export function authorization(url: string, token: string | undefined): Record<string, string> {
  return token !== undefined && url.startsWith("https://") ? { authorization: `Bearer ${token}` } : {};
}

/** A temporary failure of a server. */
export class BusyServer extends Error {
  /** Pause requested by Retry-After, capped; undefined if there is none. */
  readonly pauseMs: number | undefined;

  constructor({ status, headers }: Pick<Response, "status" | "headers">) {
    super(`the server returned ${status}`);
    const asked = headers.get("retry-after");
    const seconds = /^\d+$/.test(asked ?? "") ? Number(asked) : (Date.parse(asked ?? "") - Date.now()) / 1000;
    this.pauseMs = Number.isFinite(seconds) ? 1000 * Math.min(Math.max(seconds, 0), maxPauseSeconds) : undefined;
  }
}

/** True for the status of a temporary failure. */
export const isBusy = (status: number): boolean => status >= 500 || status === 429;

/**
 * Retries temporary failures with growing pauses.
 *
 * @param attempt - throws, or returns undefined if it made progress and must be called again.
 * @param isFinal - true for errors that are retried only once. Default: never.
 * @throws the last attempt's error; a {@link ClipError} at once.
 */
export async function withRetries<Result>(
  attempt: () => Promise<Result | undefined>,
  isProgress: () => Promise<boolean>,
  signal: AbortSignal | undefined,
  isFinal: (error: unknown) => boolean = () => false,
): Promise<Result> {
  let problem: unknown = new Error("the connection ended early");
  for (let [idle, attempts] = [0, 0]; idle < maxIdleAttempts && attempts < maxAttempts; idle++, attempts++) {
    const asked = problem instanceof BusyServer ? problem.pauseMs : undefined;
    if (idle > 0) await sleep(asked ?? 100 * 3 ** idle, undefined, { signal });
    try {
      const result = await attempt();
      if (result !== undefined) return result;
      problem = new Error("the connection ended early");
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof ClipError || (idle > 0 && isFinal(error))) throw error;
      problem = error;
    }
    if (await isProgress()) idle = 0;
  }
  throw problem;
}

const innermost = (error: unknown) => {
  const { cause } = error as { readonly cause?: unknown };
  return (cause instanceof Error ? cause : error) as Error & { readonly code?: string };
};

/** True if no connection was made: there is no network, or a firewall blocks it. */
export function isUnreachable(error: unknown): boolean {
  const { code = "", message } = innermost(error);
  const codes = /^(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|UND_ERR_CONNECT_TIMEOUT)$/;
  return codes.test(code) || message === "bad port";
}

export function networkProblem(error: unknown): string {
  const inner = innermost(error);
  if (inner.code === "UND_ERR_CONNECT_TIMEOUT")
    return `no connection within ${Math.min(stallSeconds(), maxConnectSeconds)} seconds`;
  if (/^UND_ERR_(BODY|HEADERS)_TIMEOUT$/.test(inner.code ?? "")) return `nothing arrived for ${stallSeconds()} seconds`;
  return inner.message || String(inner.code);
}

/**
 * Downloads a file to `target`, which then exists completely or not at all. A partial download is resumed if the
 * server's file is unchanged; the checksum is verified before the file gets its name; of several processes one
 * downloads while the others wait.
 *
 * @throws {ClipError} `CLIP_DOWNLOAD` if the server lacks or refuses the file, sends something else or stops sending;
 *   `CLIP_FILE` if the file cannot be written or does not fit on the disk.
 */
export async function download(url: string, target: string, options: DownloadOptions = {}): Promise<void> {
  await makeFolder(dirname(target));
  await withLock(
    `${target}.lock`,
    async () => {
      if (await fileSize(target)) return;
      const part = `${target}.part`;
      await fetchAll(url, part, options);
      await verify(part, url, options.checksum);
      await rename(part, target).catch((cause) => {
        throw cannotWrite(target, cause, `the download is in ${part}`);
      });
      await rm(validatorFile(part), { force: true });
    },
    options,
  );
}

async function fetchAll(url: string, part: string, options: DownloadOptions): Promise<void> {
  let before = (await fileSize(part)) ?? 0;
  const isProgress = async () => {
    const [earlier, now] = [before, (await fileSize(part)) ?? 0];
    before = now;
    return now > earlier;
  };
  const attempt = async () => (await fetchRest(url, part, options)) || undefined;
  await withRetries(attempt, isProgress, options.signal).catch((cause: unknown) => {
    options.signal?.throwIfAborted();
    if (cause instanceof ClipError) throw cause;
    const kept = "the part received is kept: run it again to resume";
    throw new ClipError("CLIP_DOWNLOAD", `cannot fetch ${url}: ${networkProblem(cause)}; ${kept}`, { cause });
  });
}

/** Requests the missing rest of the part; true if the file is then complete. */
async function fetchRest(url: string, part: string, options: DownloadOptions): Promise<boolean> {
  const { token, signal, size, checksum } = options;
  const validator = await readFile(validatorFile(part), "utf8").catch(() => undefined);
  // Without validator and checksum, the rest of another file could go unnoticed.
  const start = validator !== undefined || checksum ? ((await fileSize(part)) ?? 0) : 0;
  if (size !== undefined && start === size && size > 0) return true;
  const ifSame = validator === undefined ? {} : { "if-range": validator };
  const response = await proxiedFetch(url, {
    headers: {
      ...authorization(url, token),
      "accept-encoding": "identity",
      ...(start > 0 && { ...ifSame, range: `bytes=${start}-` }),
    },
    ...(signal && { signal }),
  });
  const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get("content-range") ?? "");
  const met = validatorOf(response.headers);
  const isSame = validator === undefined || met === undefined || met === validator;
  const isRest = response.status === 206 && Number(range?.[1]) === start && isSame;
  if (response.status === 416 || (response.status === 206 && !isRest)) {
    await response.body?.cancel();
    // The part was complete: an earlier process ended before it could rename it.
    if (isSame && response.headers.get("content-range") === `bytes */${start}`) return true;
    await discard(part); // the server has a different file now
    return false;
  }
  if (!response.ok) throw await refusal(url, response, token);
  try {
    const total = totalBytes(url, response, isRest ? Number(range![2]) : undefined, size);
    if (total !== undefined)
      await assertRoom(dirname(part), total - (isRest ? start : 0), "free some, or choose another place");
    if (!isRest) await startPart(part, met);
    const received = isRest ? start : 0;
    return await appendBody(url, part, response, { received, total, onProgress: options.onProgress });
  } catch (error) {
    await response.body?.cancel().catch(() => undefined);
    throw error;
  }
}

/**
 * The size of the whole file, if it is known.
 *
 * @param ranged - the size given by `Content-Range`.
 * @param announced - the size known before the request.
 * @throws {ClipError} `CLIP_DOWNLOAD` if the two differ, or a web page came instead of the file.
 */
function totalBytes(url: string, response: Response, ranged?: number, announced?: number): number | undefined {
  if (isWebPage(response)) throw new ClipError("CLIP_DOWNLOAD", `cannot fetch ${url}: ${pageInstead}`);
  const length = response.headers.has("content-encoding") ? null : response.headers.get("content-length");
  const sent = ranged ?? (length === null ? undefined : Number(length));
  if (sent !== undefined && announced !== undefined && sent !== announced)
    throw new ClipError("CLIP_DOWNLOAD", `${url} has ${sent} bytes, not the announced ${announced}; try again later`);
  return sent ?? announced;
}

/** Empties the part and records which version of the server's file it will hold. */
async function startPart(part: string, validator: string | undefined): Promise<void> {
  const refuse = (path: string) => (cause: Error) => {
    throw cannotWrite(path, cause, "nothing was fetched");
  };
  // Never a part of one version beside the validator of another.
  await remove(validatorFile(part));
  await writeFile(part, "").catch(refuse(part));
  if (validator !== undefined) await writeFile(validatorFile(part), validator).catch(refuse(validatorFile(part)));
}

/** Appends what arrives to the part; true if the file is then complete. */
async function appendBody(url: string, part: string, response: Response, progress: AppendProgress): Promise<boolean> {
  let { received } = progress;
  const { total, onProgress } = progress;
  const refuse = (cause: Error) => {
    throw cannotWrite(part, cause, "the part received is kept");
  };
  const file = await open(part, "a").catch(refuse);
  try {
    for await (const chunk of response.body ?? []) {
      received += (chunk as Uint8Array).length;
      if (received > (total ?? maxBytes))
        throw new ClipError("CLIP_DOWNLOAD", `${url} sends more than the expected ${total ?? maxBytes} bytes`);
      await file.appendFile(chunk as Uint8Array).catch(refuse);
      onProgress?.({ url, received, total });
    }
    await file.sync().catch(refuse);
  } finally {
    await file.close();
  }
  return total === undefined || received === total;
}

interface AppendProgress extends Pick<DownloadOptions, "onProgress"> {
  /** Bytes of the file that are in the part already. */
  readonly received: number;
  readonly total: number | undefined;
}

/** A file's validator for `If-Range`: its strong ETag or its date. */
function validatorOf(headers: Headers): string | undefined {
  const etag = headers.get("etag");
  return (etag !== null && !etag.startsWith("W/") ? etag : headers.get("last-modified")) ?? undefined;
}

/** File beside the part that holds the validator of the download. */
const validatorFile = (part: string): string => `${part}.version`;

/** True for an HTML page, as sent by networks that require a login and by refusing proxies. */
export const isWebPage = ({ headers }: Pick<Response, "headers">): boolean =>
  /^text\/html\b/i.test(headers.get("content-type") ?? "");
export const pageInstead = "got a web page instead; log in to the network if it requires that, and check the proxy";

/**
 * Checks free disk space before a download.
 *
 * @throws {ClipError} `CLIP_FILE` if there is too little.
 */
export async function assertRoom(folder: string, bytes: number, wayOut: string): Promise<void> {
  const found = await statfs(folder).catch(() => undefined);
  // Some network file systems report no sizes.
  if (!found || found.blocks === 0) return;
  const free = found.bavail * found.bsize;
  if (free >= bytes) return;
  const megabytes = (count: number) => `${Math.ceil(count / 1e6).toLocaleString("en")} MB`;
  throw new ClipError(
    "CLIP_FILE",
    `a download of ${megabytes(bytes)} into ${folder} does not fit: ${megabytes(free)} are free, ` +
      `${megabytes(bytes - free)} more are needed; ${wayOut}`,
  );
}

async function refusal(url: string, response: Response, token: string | undefined): Promise<Error> {
  const { status } = response;
  await response.body?.cancel();
  if (isBusy(status)) return new BusyServer(response);
  const unsent = token !== undefined && !url.startsWith("https://") ? "; no token is sent over plain http" : "";
  const why =
    status === 401 || status === 403
      ? `it needs a token, or its licence must be accepted on its page: set HF_TOKEN to a token with read access${unsent}`
      : status === 404
        ? "there is no such file"
        : `the server returned ${status}`;
  return new ClipError("CLIP_DOWNLOAD", `cannot fetch ${url}: ${why}`);
}

/** Removes a part whose checksum is wrong, and throws. */
async function verify(part: string, url: string, checksum: Checksum | undefined): Promise<void> {
  if (!checksum) return;
  const git = "gitSha1" in checksum;
  const hash = createHash(git ? "sha1" : "sha256");
  if (git) hash.update(`blob ${await fileSize(part)}\0`);
  for await (const chunk of createReadStream(part)) hash.update(chunk as Buffer);
  const [met, wanted] = [hash.digest("hex"), git ? checksum.gitSha1 : checksum.sha256];
  if (met === wanted) return;
  await discard(part);
  const problem = `${url} has the wrong checksum: got ${met}, expected ${wanted}`;
  throw new ClipError("CLIP_DOWNLOAD", `${problem}; the download was deleted, try again`);
}

async function discard(part: string): Promise<void> {
  await remove(validatorFile(part));
  await remove(part);
}

async function remove(path: string): Promise<void> {
  await rm(path, { force: true }).catch((cause) => {
    throw cannotWrite(path, cause, "delete it by hand: it is not a valid download");
  });
}

/** Seconds without a byte before a connection counts as broken; HF_HUB_DOWNLOAD_TIMEOUT, as in huggingface_hub. */
export function stallSeconds(): number {
  const seconds = Number(process.env["HF_HUB_DOWNLOAD_TIMEOUT"]);
  return seconds > 0 && seconds <= 3600 ? seconds : 60;
}
