import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { EnvHttpProxyAgent, fetch } from "undici";
import { cannotWrite, makeFolder } from "../core/atomic-write.ts";
import { ClipError } from "../core/errors.ts";
import { sizeOf } from "../core/files.ts";
import type { DownloadProgress } from "../core/progress.ts";
import { withLock } from "../core/lock.ts";

/** What a file must be: of git's objects that are no large files the hub tells another sum. */
export type Checksum = { readonly sha256: string } | { readonly gitSha1: string };

/** How {@link download} goes about it. */
export interface DownloadOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** Bytes that the file is known to have. */
  readonly size?: number | undefined;
  readonly checksum?: Checksum | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
}

/** Attempts that bring nothing before it gives up. */
const maxIdleAttempts = 4;
/** No model is larger; a server that does not say how long its answer is ends here. */
const maxBytes = 200e9;

/** Takes the proxy that the usual variables name (HTTPS_PROXY, HTTP_PROXY, NO_PROXY). */
let dispatcher: EnvHttpProxyAgent | undefined;

/** `fetch` through the proxy of the environment. */
export function proxiedFetch(...[url, init]: Parameters<typeof fetch>): ReturnType<typeof fetch> {
  dispatcher ??= new EnvHttpProxyAgent();
  return fetch(url, { ...init, dispatcher });
}

/**
 * Fetches a file to `target`, which is there as a whole or not at all. What a broken connection or an earlier process left
 * is gone on from; the sum is checked before the file gets its name; of several processes one fetches, the others wait.
 *
 * @throws {ClipError} `CLIP_DOWNLOAD` if the server does not have it, refuses it, sends something else or nothing more;
 *   `CLIP_FILE` if it cannot be written.
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
    },
    options,
  );
}

async function fetchAll(url: string, part: string, options: DownloadOptions): Promise<void> {
  let problem: unknown;
  for (let idle = 0; idle < maxIdleAttempts; idle++) {
    if (idle > 0) await sleep(100 * 3 ** idle, undefined, { signal: options.signal });
    const before = (await sizeOf(part)) ?? 0;
    try {
      if (await fetchRest(url, part, before, options)) return;
      problem = new Error("the connection ended early");
    } catch (error) {
      options.signal?.throwIfAborted();
      if (error instanceof ClipError) throw error;
      problem = error;
    }
    if (((await sizeOf(part)) ?? 0) > before) idle = 0;
  }
  const cause = problem as Error & { cause?: Error };
  const kept = "what has arrived is kept: run it again to go on";
  throw new ClipError("CLIP_DOWNLOAD", `cannot fetch ${url}: ${cause.cause?.message ?? cause.message}; ${kept}`, {
    cause,
  });
}

/** Asks for what is missing behind `start`; true if the file is then complete. */
async function fetchRest(url: string, part: string, start: number, options: DownloadOptions): Promise<boolean> {
  const { headers = {}, signal, size, onProgress } = options;
  if (size !== undefined && start === size && size > 0) return true;
  const response = await proxiedFetch(url, {
    headers: { ...headers, "accept-encoding": "identity", ...(start > 0 && { range: `bytes=${start}-` }) },
    ...(signal && { signal }),
  });
  const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get("content-range") ?? "");
  const isRest = response.status === 206 && Number(range?.[1]) === start;
  if (response.status === 416 || (response.status === 206 && !isRest)) {
    await response.body?.cancel();
    // It was all there: an earlier process ended before it could say so.
    if (response.headers.get("content-range") === `bytes */${start}`) return true;
    await discard(part); // the server has another file than this was the beginning of
    return false;
  }
  if (!response.ok) throw await refusal(url, response.status, () => response.body?.cancel());
  const length = response.headers.get("content-length");
  const said = isRest ? Number(range![2]) : length === null ? undefined : Number(length);
  if (said !== undefined && size !== undefined && said !== size) {
    await response.body?.cancel();
    throw new ClipError("CLIP_DOWNLOAD", `${url} has ${said} bytes, and ${size} were announced; try again later`);
  }
  const total = said ?? size;
  let received = isRest ? start : 0;
  const file = await open(part, isRest ? "a" : "w").catch((cause) => {
    throw cannotWrite(part, cause, "nothing was fetched");
  });
  try {
    for await (const chunk of response.body ?? []) {
      received += (chunk as Uint8Array).length;
      if (received > (total ?? maxBytes))
        throw new ClipError("CLIP_DOWNLOAD", `${url} sends more than the ${total ?? maxBytes} bytes it should have`);
      await file.appendFile(chunk as Uint8Array).catch((cause) => {
        throw cannotWrite(part, cause, "what has arrived is kept");
      });
      onProgress?.({ url, received, total });
    }
    await file.sync().catch((cause) => {
      throw cannotWrite(part, cause, "what has arrived is kept");
    });
  } finally {
    await file.close();
  }
  return total === undefined || received === total;
}

async function refusal(url: string, status: number, letGo: () => Promise<void> | undefined): Promise<Error> {
  await letGo();
  if (status >= 500 || status === 429) return new Error(`the server answers ${status}`);
  const why =
    status === 401 || status === 403
      ? "it asks for a token, or for its licence to be accepted on its page: set HF_TOKEN to one that may read it"
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

/** Removes a file that is of no use, if it is there. */
export async function discard(path: string): Promise<void> {
  await rm(path, { force: true }).catch((cause) => {
    throw cannotWrite(path, cause, "remove it by hand: it is not what it should be");
  });
}
