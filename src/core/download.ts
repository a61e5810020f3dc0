import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, readFile, rename, rm, statfs, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { EnvHttpProxyAgent, fetch, type Headers, type Response } from "undici";
import { cannotWrite, makeFolder } from "./atomic-write.ts";
import { ClipError } from "./errors.ts";
import { sizeOf } from "./files.ts";
import type { DownloadProgress } from "./progress.ts";
import { withLock } from "./lock.ts";

/** What a file must be: of git's objects that are no large files the hub tells another sum. */
export type Checksum = { readonly sha256: string } | { readonly gitSha1: string };

/** How {@link download} goes about it. */
export interface DownloadOptions {
  /** Sent over https alone, and to no other host that the server redirects to. */
  readonly token?: string | undefined;
  /** Bytes that the file is known to have. */
  readonly size?: number | undefined;
  readonly checksum?: Checksum | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
}

/** Attempts that bring nothing before it gives up. */
const maxIdleAttempts = 4;
/** Attempts in all: a server may bring something each time and never come to an end. */
const maxAttempts = 100;
/** A server that is there answers sooner; behind some firewalls none ever does. */
const maxConnectSeconds = 10;
/** No model is larger; a server that does not say how long its answer is ends here. */
export const maxBytes = 200e9;
/** A server that asks for a longer pause is not waited for. */
const maxPauseSeconds = 30;

/** Takes the proxy that the usual variables name (HTTPS_PROXY, HTTP_PROXY, NO_PROXY). */
let dispatcher: EnvHttpProxyAgent | undefined;

/** `fetch` through the proxy of the environment; a connection on which nothing arrives for a while is an error. */
export function proxiedFetch(...[url, init]: Parameters<typeof fetch>): ReturnType<typeof fetch> {
  const timeout = 1000 * stallSeconds();
  const connect = { timeout: Math.min(timeout, 1000 * maxConnectSeconds) };
  dispatcher ??= new EnvHttpProxyAgent({ headersTimeout: timeout, bodyTimeout: timeout, connect });
  return fetch(url, { ...init, dispatcher });
}

/** The header with a token, for an address that may have it: plain http would show it to everybody on the way. */
export function authorization(url: string, token: string | undefined): Record<string, string> {
  return token !== undefined && url.startsWith("https://") ? { authorization: `Bearer ${token}` } : {};
}

/** A server that may answer otherwise in a moment. */
export class BusyServer extends Error {
  /** How long it asks to be left alone. */
  readonly pauseMs: number | undefined;

  constructor({ status, headers }: Pick<Response, "status" | "headers">) {
    super(`the server answers ${status}`);
    const asked = headers.get("retry-after");
    const seconds = /^\d+$/.test(asked ?? "") ? Number(asked) : (Date.parse(asked ?? "") - Date.now()) / 1000;
    this.pauseMs = Number.isFinite(seconds) ? 1000 * Math.min(Math.max(seconds, 0), maxPauseSeconds) : undefined;
  }
}

/** Whether a status is that of a server that may answer otherwise in a moment. */
export const isBusy = (status: number): boolean => status >= 500 || status === 429;

/**
 * Tries again what fails in passing, with longer pauses each time.
 *
 * @param attempt - throws, or gives undefined where it has brought something and is to be called again.
 * @param isFinal - whether to give up after one more attempt. Default: never.
 * @throws what the last attempt threw; a {@link ClipError} at once.
 */
export async function patiently<Result>(
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

/** Whether there was no connection at all: without a network, or behind a firewall. */
export function isUnreachable(error: unknown): boolean {
  const { code = "", message } = innermost(error);
  const codes = /^(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|UND_ERR_CONNECT_TIMEOUT)$/;
  return codes.test(code) || message === "bad port";
}

/** What went wrong with a request, in words. */
export function networkProblem(error: unknown): string {
  const inner = innermost(error);
  if (inner.code === "UND_ERR_CONNECT_TIMEOUT")
    return `no connection within ${Math.min(stallSeconds(), maxConnectSeconds)} seconds`;
  if (/^UND_ERR_(BODY|HEADERS)_TIMEOUT$/.test(inner.code ?? "")) return `nothing arrived for ${stallSeconds()} seconds`;
  return inner.message || String(inner.code);
}

/**
 * Fetches a file to `target`, which is there as a whole or not at all. What a broken connection or an earlier process left
 * is gone on from, if the server still has the same file; the sum is checked before the file gets its name; of several processes
 * one fetches, the others wait.
 *
 * @throws {ClipError} `CLIP_DOWNLOAD` if the server does not have it, refuses it, sends something else or nothing more;
 *   `CLIP_FILE` if it cannot be written, or the disk has too little room for it.
 */
export async function download(url: string, target: string, options: DownloadOptions = {}): Promise<void> {
  await makeFolder(dirname(target));
  await withLock(
    `${target}.lock`,
    async () => {
      if (await sizeOf(target)) return;
      const part = `${target}.part`;
      await fetchAll(url, part, options);
      await verify(part, url, options.checksum);
      await rename(part, target).catch((cause) => {
        throw cannotWrite(target, cause, `what was fetched is ${part}`);
      });
      await rm(validatorFile(part), { force: true });
    },
    options,
  );
}

async function fetchAll(url: string, part: string, options: DownloadOptions): Promise<void> {
  let before = (await sizeOf(part)) ?? 0;
  const isProgress = async () => {
    const [earlier, now] = [before, (await sizeOf(part)) ?? 0];
    before = now;
    return now > earlier;
  };
  const attempt = async () => (await fetchRest(url, part, options)) || undefined;
  await patiently(attempt, isProgress, options.signal).catch((cause: unknown) => {
    options.signal?.throwIfAborted();
    if (cause instanceof ClipError) throw cause;
    const kept = "what has arrived is kept: run it again to go on";
    throw new ClipError("CLIP_DOWNLOAD", `cannot fetch ${url}: ${networkProblem(cause)}; ${kept}`, { cause });
  });
}

/** Requests the missing rest of the part; true if the file is then complete. */
async function fetchRest(url: string, part: string, options: DownloadOptions): Promise<boolean> {
  const { token, signal, size, checksum } = options;
  const validator = await readFile(validatorFile(part), "utf8").catch(() => undefined);
  // With neither, the rest of another file would pass for the rest of this one.
  const start = validator !== undefined || checksum ? ((await sizeOf(part)) ?? 0) : 0;
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
      await assertRoom(dirname(part), total - (isRest ? start : 0), "free some, or name another place");
    if (!isRest) await startPart(part, met);
    return await appendBody(url, part, response, {
      received: isRest ? start : 0,
      total,
      onProgress: options.onProgress,
    });
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
function totalBytes(
  url: string,
  response: Response,
  ranged: number | undefined,
  announced: number | undefined,
): number | undefined {
  if (isWebPage(response)) throw new ClipError("CLIP_DOWNLOAD", `cannot fetch ${url}: ${pageInstead}`);
  const length = response.headers.has("content-encoding") ? null : response.headers.get("content-length");
  const sent = ranged ?? (length === null ? undefined : Number(length));
  if (sent !== undefined && announced !== undefined && sent !== announced)
    throw new ClipError("CLIP_DOWNLOAD", `${url} has ${sent} bytes, and ${announced} were announced; try again later`);
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
    throw cannotWrite(part, cause, "what has arrived is kept");
  };
  const file = await open(part, "a").catch(refuse);
  try {
    for await (const chunk of response.body ?? []) {
      received += (chunk as Uint8Array).length;
      if (received > (total ?? maxBytes))
        throw new ClipError("CLIP_DOWNLOAD", `${url} sends more than the ${total ?? maxBytes} bytes it should have`);
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

/** What a server says of the state of a file, as far as it may be asked for by `If-Range`; a weak ETag may not. */
function validatorOf(headers: Headers): string | undefined {
  const etag = headers.get("etag");
  return (etag !== null && !etag.startsWith("W/") ? etag : headers.get("last-modified")) ?? undefined;
}

/** Beside the part: of which state of the server's file it is the beginning. */
const validatorFile = (part: string): string => `${part}.version`;

/** Networks that ask for a login, and proxies that refuse, answer with a page of their own. */
export const isWebPage = ({ headers }: Pick<Response, "headers">): boolean =>
  /^text\/html\b/i.test(headers.get("content-type") ?? "");
export const pageInstead =
  "a web page came in its place; log in to this network if it asks for that, and check the proxy";

/**
 * Checks that there is room for a file before its bytes are asked for.
 *
 * @throws {ClipError} `CLIP_FILE` if there is not.
 */
export async function assertRoom(folder: string, bytes: number, wayOut: string): Promise<void> {
  const found = await statfs(folder).catch(() => undefined);
  // Some network file systems do not say.
  if (!found || found.blocks === 0) return;
  const free = found.bavail * found.bsize;
  if (free >= bytes) return;
  const megabytes = (count: number) => `${Math.ceil(count / 1e6).toLocaleString("en")} MB`;
  throw new ClipError(
    "CLIP_FILE",
    `${megabytes(bytes)} are to be fetched into ${folder}, and its disk has room for ${megabytes(free)}: ` +
      `${megabytes(bytes - free)} are missing; ${wayOut}`,
  );
}

async function refusal(url: string, response: Response, token: string | undefined): Promise<Error> {
  const { status } = response;
  await response.body?.cancel();
  if (isBusy(status)) return new BusyServer(response);
  const unsent = token !== undefined && !url.startsWith("https://") ? "; no token is sent over plain http" : "";
  const why =
    status === 401 || status === 403
      ? `it asks for a token, or for its licence to be accepted on its page: set HF_TOKEN to one that may read it${unsent}`
      : status === 404
        ? "there is no such file"
        : `the server answers ${status}`;
  return new ClipError("CLIP_DOWNLOAD", `cannot fetch ${url}: ${why}`);
}

/** Removes what is not the file that was wanted. */
async function verify(part: string, url: string, checksum: Checksum | undefined): Promise<void> {
  if (!checksum) return;
  const git = "gitSha1" in checksum;
  const hash = createHash(git ? "sha1" : "sha256");
  if (git) hash.update(`blob ${await sizeOf(part)}\0`);
  for await (const chunk of createReadStream(part)) hash.update(chunk as Buffer);
  const [met, wanted] = [hash.digest("hex"), git ? checksum.gitSha1 : checksum.sha256];
  if (met === wanted) return;
  await discard(part);
  throw new ClipError(
    "CLIP_DOWNLOAD",
    `${url} is not the file it should be: its checksum is ${met}, not ${wanted}; it was removed, try again`,
  );
}

/** Removes a part that is of no use, if it is there. */
async function discard(part: string): Promise<void> {
  await remove(validatorFile(part));
  await remove(part);
}

async function remove(path: string): Promise<void> {
  await rm(path, { force: true }).catch((cause) => {
    throw cannotWrite(path, cause, "remove it by hand: it is not what it should be");
  });
}

/** Seconds without a byte after which a connection counts as broken, in the variable of Hugging Face's own library. */
export function stallSeconds(): number {
  const seconds = Number(process.env["HF_HUB_DOWNLOAD_TIMEOUT"]);
  return seconds > 0 && seconds <= 3600 ? seconds : 60;
}
