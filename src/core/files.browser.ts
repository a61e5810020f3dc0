import { basename, dirname, parts } from "./addresses.ts";
import type { OwnBytes } from "./dtype.ts";
import { ClipError } from "./errors.ts";
import { forget, forgetAll, keep, kept } from "./page-cache.ts";
import { decodeText } from "./text-file.ts";

export { basename, dirname, join } from "./addresses.ts";

/*
 * Files of a page are addresses. Bytes are fetched by ranges, so that a model whose texts alone are asked for costs its text
 * tower alone, and what has arrived is kept in the browser's cache.
 */

/** Bytes of one request at most: what has arrived of a broken download is kept in pieces of this size. */
const pieceBytes = 16 * 2 ** 20;
/** Attempts that bring nothing before it gives up. */
const maxIdleAttempts = 4;

/** What a server says of a file. */
interface Head {
  readonly size: number;
  /** Changes when the file does, as far as the server says so. */
  readonly version: string;
}

/** How a range is fetched. */
interface RangeOptions {
  readonly onBytes?: (count: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** One answer a visit and file that is there. */
const heads = new Map<string, Promise<Head | undefined>>();
/** Files of servers that know no ranges, as a whole. */
const whole = new Map<string, Promise<Uint8Array<ArrayBuffer>>>();

/** Bytes of a file; undefined if there is none. */
export async function sizeOf(url: string): Promise<number | undefined> {
  return (await headOf(url))?.size;
}

/** What is known of the files of a folder by its address. */
const declared = new Map<string, (name: string) => boolean | undefined>();

/**
 * Declares what a folder holds: browsers write each file that is asked for and not there into the console of the page.
 *
 * @param has - whether a file of that name is there; undefined where only the server knows.
 */
export function declareFolder(folder: string, has: (name: string) => boolean | undefined): void {
  declared.set(parts(folder).join(""), has);
}

/** Whether there is such a file. */
export async function exists(url: string): Promise<boolean> {
  return declared.get(dirname(url))?.(basename(url)) ?? (await headOf(url)) !== undefined;
}

/** Whether it is the address of a folder: one that names no file of weights. */
export function isFolder(url: string): Promise<boolean> {
  return Promise.resolve(!/\.(safetensors|json|pt|pth|bin)$/.test(parts(url)[0]));
}

/** Links are the server's affair. */
export function realFile(url: string): Promise<string> {
  return Promise.resolve(url);
}

/**
 * The text of a file that is read as a whole; where the server cannot be reached, as it was at the last visit.
 *
 * @throws {ClipError} `CLIP_FILE` if there is none, it cannot be fetched, or has more than `maxBytes`: that much is never in memory.
 */
export async function readText(url: string, maxBytes: number): Promise<string> {
  let response: Response;
  try {
    response = await fetchPatiently(url, { cache: "no-cache" });
  } catch (error) {
    const before = await kept(url, "text");
    if (before) return before.text();
    throw error;
  }
  if (!response.ok || isPage(response)) throw refused(url, isPage(response) ? 404 : response.status);
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  for await (const chunk of chunksOf(response)) {
    chunks.push(chunk);
    if ((length += chunk.length) > maxBytes)
      throw new ClipError("CLIP_FILE", `${url} has more than ${maxBytes} bytes, the most that such a file may have`);
  }
  const text = decodeText(new Uint8Array(await new Blob(chunks).arrayBuffer()), url);
  await keep(url, "text", text);
  return text;
}

/**
 * Exactly these bytes of a file, in a buffer of their own.
 *
 * @param options - `onBytes` is told of bytes that arrive, those from the cache among them; `signal` stops.
 * @throws {ClipError} `CLIP_FILE` if they cannot be fetched, `CLIP_CHECKPOINT` if the file ends before.
 */
export async function readRange(
  url: string,
  offset: number,
  length: number,
  options: RangeOptions = {},
): Promise<OwnBytes> {
  const head = await headOf(url);
  if (!head) throw new ClipError("CLIP_FILE", `cannot read ${url}: there is no such file`);
  if (offset + length > head.size)
    throw new ClipError("CLIP_CHECKPOINT", `${url} ends at byte ${head.size}, ${offset + length} are wanted`);
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const count = Math.min(pieceBytes, length - done);
    bytes.set(await readPiece(url, head, offset + done, count, options), done);
    done += count;
  }
  return bytes;
}

async function readPiece(url: string, head: Head, offset: number, length: number, options: RangeOptions) {
  // What has no version cannot be told from what comes after it, and is not kept.
  if (head.version === "") return fetchPiece(url, head, offset, length, options);
  const part = `${head.version} ${offset} ${length}`;
  const before = await (await kept(url, part))?.arrayBuffer();
  if (before?.byteLength === length) {
    options.onBytes?.(length);
    return new Uint8Array(before);
  }
  const bytes = await fetchPiece(url, head, offset, length, options);
  await keep(url, part, bytes);
  return bytes;
}

/** Fetches a range, and continues after a broken connection with the bytes still missing. */
async function fetchPiece(
  url: string,
  head: Head,
  offset: number,
  length: number,
  { onBytes, signal }: RangeOptions,
): Promise<OwnBytes> {
  const bytes = new Uint8Array(length);
  let done = 0;
  let problem: unknown = new Error("the connection ended early");
  for (let idle = 0; idle < maxIdleAttempts; idle++) {
    if (idle > 0) await pause(idle);
    const before = done;
    try {
      for await (const chunk of rangeOf(url, head, offset + done, length - done, signal)) {
        bytes.set(chunk, done);
        done += chunk.length;
        onBytes?.(chunk.length);
      }
      if (done === length) return bytes;
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof ClipError) throw error;
      problem = error;
    }
    if (done > before) idle = 0;
  }
  throw new ClipError("CLIP_FILE", `cannot fetch ${url}: ${(problem as Error).message}; load the page again to go on`, {
    cause: problem,
  });
}

/** The bytes of a range as they arrive; fewer if the connection breaks. */
async function* rangeOf(
  url: string,
  head: Head,
  offset: number,
  length: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<OwnBytes> {
  const all = whole.get(url) ?? (yield* partialContent(url, head, offset, length, signal));
  if (all) yield (await all).subarray(offset, offset + length);
}

/** Yields the bytes of a range; or returns the whole file, if the server does not support ranges. */
async function* partialContent(
  url: string,
  head: Head,
  offset: number,
  length: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<OwnBytes, OwnBytes | undefined> {
  const headers = { range: `bytes=${offset}-${offset + length - 1}` };
  const response = await fetch(url, { headers, cache: "no-store", ...(signal && { signal }) });
  refuseChanged(url, head, response);
  if (response.status === 200) return keepWhole(url, readWhole(url, response, head.size));
  const range = response.headers.get("content-range");
  if (response.status !== 206 || (range !== null && !range.startsWith(`bytes ${offset}-`))) {
    await response.body?.cancel();
    throw isPassing(response) ? new Error(`the server answers ${response.status}`) : refused(url, response.status);
  }
  let received = 0;
  for await (const chunk of chunksOf(response)) {
    received += chunk.length;
    if (received > length)
      throw new ClipError("CLIP_FILE", `${url} sends more than the ${length} bytes that were asked for`);
    yield chunk;
  }
  return undefined;
}

/** Keeps a file in memory for as long as the page lives. */
function keepWhole(url: string, fetched: Promise<OwnBytes>): Promise<OwnBytes> {
  whole.set(url, fetched);
  fetched.catch(() => whole.delete(url));
  return fetched;
}

/** A part of another version would be no part of this file. */
function refuseChanged(url: string, head: Head, { status, headers }: Response): void {
  if (status !== 200 && status !== 206) return;
  const version = versionOf(headers);
  const total = status === 206 ? /\/(\d+)$/.exec(headers.get("content-range") ?? "")?.[1] : undefined;
  const isSame =
    (version === "" || head.version === "" || version === head.version) && (!total || Number(total) === head.size);
  if (isSame) return;
  heads.delete(url);
  throw new ClipError("CLIP_FILE", `${url} was changed while it was read; load the model again`);
}

/** What changes when a file does, as far as the server says so: its ETag, whatever was compressed on the way, or its date. */
function versionOf(headers: Headers): string {
  const tag = headers
    .get("etag")
    ?.replace(/^W\//, "")
    .replace(/-gzip"$|;gzip"$/, '"');
  return tag ?? headers.get("last-modified") ?? "";
}

/** A file of a server that knows no ranges. */
async function readWhole(url: string, response: Response, size: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(size);
  let done = 0;
  for await (const chunk of chunksOf(response)) {
    if (done + chunk.length > size) break;
    bytes.set(chunk, done);
    done += chunk.length;
  }
  if (done === size) return bytes;
  throw new ClipError("CLIP_FILE", `${url} does not have the ${size} bytes that were announced`);
}

const pause = (attempt: number) => new Promise((resolve) => setTimeout(resolve, 100 * 3 ** attempt));

/** Whether it may answer otherwise in a moment. */
const isPassing = ({ status }: Response): boolean => status >= 500 || status === 429;

/** Servers of single-page applications answer with their page for whatever they do not have. */
const isPage = ({ headers }: Response): boolean => /^text\/html\b/.test(headers.get("content-type") ?? "");

/** @throws {ClipError} `CLIP_FILE` if the server cannot be reached. */
async function fetchPatiently(url: string, init: RequestInit): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(url, init).catch((cause: unknown) => {
      const why = "the server cannot be reached, or does not let other sites' pages read it (CORS)";
      throw new ClipError("CLIP_FILE", `cannot fetch ${url}: ${why}`, { cause });
    });
    if (!isPassing(response) || response.status === 501 || attempt === maxIdleAttempts) return response;
    await response.body?.cancel();
    await pause(attempt);
  }
}

/** Streams are iterable in some browsers only. */
async function* chunksOf(response: Response): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const reader = response.body!.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
}

function refused(url: string, status: number): ClipError {
  const why = status === 404 ? "there is no such file" : `the server answers ${status}`;
  return new ClipError("CLIP_FILE", `cannot fetch ${url}: ${why}`);
}

function headOf(url: string): Promise<Head | undefined> {
  let head = heads.get(url);
  if (!head) {
    head = fetchHead(url);
    heads.set(url, head);
    // What is not there may come, and what went wrong may go well the next time.
    void head.then(
      (found) => found ?? heads.delete(url),
      () => heads.delete(url),
    );
  }
  return head;
}

/** What the server says, or, where it cannot be reached, what it said at the last visit. */
async function fetchHead(url: string): Promise<Head | undefined> {
  const before = (await (await kept(url, "head"))?.json()) as Head | null | undefined;
  let head: Head | undefined;
  try {
    head = await askHead(url);
  } catch (error) {
    // Only what could not be reached has a cause.
    if (before !== undefined && (error as Error).cause) return before ?? undefined;
    throw error;
  }
  if (before && before.version !== head?.version) await forget(url);
  await keep(url, "head", JSON.stringify(head ?? null));
  return head;
}

/** Some servers do not answer HEAD, or not what it is for; all answer who asks for the first byte. */
async function askHead(url: string): Promise<Head | undefined> {
  const asked = await fetchPatiently(url, { method: "HEAD", cache: "no-cache" });
  const length = asked.headers.get("content-length");
  if (asked.status === 404 || asked.status === 410 || (asked.ok && isPage(asked))) return undefined;
  if (asked.ok && length !== null && !asked.headers.has("content-encoding"))
    return { size: Number(length), version: versionOf(asked.headers) };
  const first = await fetchPatiently(url, { headers: { range: "bytes=0-0" }, cache: "no-store" });
  await first.body?.cancel();
  // Stores that may not list what they have say "forbidden" of what they do not have.
  if ([403, 404, 410].includes(first.status) || (first.ok && isPage(first))) return undefined;
  if (!first.ok && first.status !== 416) throw refused(url, first.status);
  const said = first.headers.has("content-encoding") ? null : first.headers.get("content-length");
  const total = first.headers.get("content-range")?.split("/")[1] ?? (first.status === 200 ? said : null);
  if (total !== null && /^\d+$/.test(total)) return { size: Number(total), version: versionOf(first.headers) };
  // The server does not say how large the file is, or not to pages of other sites: only the whole of it shows that.
  const response = await fetchPatiently(url, { cache: "no-store" });
  if (!response.ok) throw refused(url, response.status);
  const bytes = await readAll(response);
  whole.set(url, Promise.resolve(bytes));
  return { size: bytes.length, version: versionOf(response.headers) };
}

async function readAll(response: Response): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  for await (const chunk of chunksOf(response)) chunks.push(chunk);
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

/** Removes the weights and other files that were kept for the next visit. */
export async function clearCache(): Promise<void> {
  heads.clear();
  declared.clear();
  whole.clear();
  await forgetAll();
}
