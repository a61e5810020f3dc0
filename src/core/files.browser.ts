import { basename, dirname, parts } from "./addresses.ts";
import type { OwnBytes } from "./dtype.ts";
import { ClipError } from "./errors.ts";
import { forget, forgetAll, keep, kept } from "./page-cache.ts";
import { decodeText } from "./text-file.ts";

export { basename, dirname, join } from "./addresses.ts";

/*
 * In a page, files are addresses. Bytes are fetched by ranges, so that encoding texts downloads the text tower only;
 * received bytes are kept in the browser's cache.
 */

/** Largest range of one request; an interrupted download keeps its complete pieces. */
const pieceBytes = 16 * 2 ** 20;
/** Attempts in a row without new bytes before giving up. */
const maxIdleAttempts = 4;

/** A file's metadata from its server. */
interface Head {
  readonly size: number;
  /** ETag or date; empty if the server sends neither. */
  readonly version: string;
}

/** Bytes to fetch from a file. */
interface Range {
  readonly url: string;
  readonly head: Head;
  readonly offset: number;
  readonly length: number;
}

interface RangeOptions {
  readonly onBytes?: (count: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** One answer per visit for each existing file. */
const heads = new Map<string, Promise<Head | undefined>>();
/** Whole files from servers without range requests. */
const whole = new Map<string, Promise<OwnBytes>>();

/** Size of a file in bytes; undefined if it does not exist. */
export async function fileSize(url: string): Promise<number | undefined> {
  return (await headOf(url))?.size;
}

/** Known contents of folders, by address. */
const declared = new Map<string, (name: string) => boolean | undefined>();

/**
 * Declares the contents of a folder: browsers log each request for a missing file in the page's console.
 *
 * @param has - true if a file of that name exists; undefined if only the server knows.
 */
export function declareFolder(folder: string, has: (name: string) => boolean | undefined): void {
  declared.set(parts(folder).join(""), has);
}

export async function exists(url: string): Promise<boolean> {
  return declared.get(dirname(url))?.(basename(url)) ?? (await headOf(url)) !== undefined;
}

/** True unless the address ends like a weight file. */
export function isFolder(url: string): Promise<boolean> {
  return Promise.resolve(!/\.(safetensors|json|pt|pth|bin)$/.test(parts(url)[0]));
}

/** The address itself: the server resolves links. */
export function realFile(url: string): Promise<string> {
  return Promise.resolve(url);
}

/**
 * Reads a whole text file; if the server is unreachable, the copy of the last visit.
 *
 * @throws {ClipError} `CLIP_FILE` if the file does not exist, cannot be fetched or exceeds `maxBytes`, which bounds the
 *   memory used.
 */
export async function readText(url: string, maxBytes: number): Promise<string> {
  let response: Response;
  try {
    response = await fetchWithRetries(url, { cache: "no-cache" });
  } catch (error) {
    const before = await kept(url, "text");
    if (before) return before.text();
    throw error;
  }
  if (!response.ok || isPage(response)) throw refused(url, isPage(response) ? 404 : response.status);
  const text = decodeText(await readAll(url, response, maxBytes), url);
  await keep(url, "text", text);
  return text;
}

/**
 * Reads exactly these bytes of a file into a new buffer.
 *
 * @param options - `onBytes` is called with the number of bytes that arrived, cached ones included; `signal` stops.
 * @throws {ClipError} `CLIP_FILE` if they cannot be fetched, `CLIP_CHECKPOINT` if the file is too short.
 */
export async function readRange(url: string, offset: number, length: number, options: RangeOptions = {}) {
  const head = await headOf(url);
  if (!head) throw new ClipError("CLIP_FILE", `cannot read ${url}: there is no such file`);
  if (offset + length > head.size)
    throw new ClipError("CLIP_CHECKPOINT", `${url} ends at byte ${head.size}, but ${offset + length} bytes are needed`);
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const count = Math.min(pieceBytes, length - done);
    bytes.set(await readPiece({ url, head, offset: offset + done, length: count }, options), done);
    done += count;
  }
  return bytes;
}

async function readPiece(piece: Range, options: RangeOptions): Promise<OwnBytes> {
  const { url, head, offset, length } = piece;
  // Without a version a later file could not be told apart, so nothing is cached.
  if (head.version === "") return fetchPiece(piece, options);
  const part = `${head.version} ${offset} ${length}`;
  const before = await (await kept(url, part))?.arrayBuffer();
  if (before?.byteLength === length) {
    options.onBytes?.(length);
    return new Uint8Array(before);
  }
  const bytes = await fetchPiece(piece, options);
  await keep(url, part, bytes);
  return bytes;
}

/** Fetches a range, and continues after a broken connection with the bytes still missing. */
async function fetchPiece(piece: Range, { onBytes, signal }: RangeOptions): Promise<OwnBytes> {
  const { url, offset, length } = piece;
  const bytes = new Uint8Array(length);
  let done = 0;
  let problem: unknown = new Error("the connection ended early");
  for (let idle = 0; idle < maxIdleAttempts; idle++) {
    if (idle > 0) await pause(idle);
    const before = done;
    try {
      for await (const chunk of rangeOf({ ...piece, offset: offset + done, length: length - done }, signal)) {
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
  throw new ClipError("CLIP_FILE", `cannot fetch ${url}: ${(problem as Error).message}; reload the page to resume`, {
    cause: problem,
  });
}

/** The bytes of a range as they arrive; fewer if the connection breaks. */
async function* rangeOf(range: Range, signal: AbortSignal | undefined): AsyncGenerator<OwnBytes> {
  const all = whole.get(range.url) ?? (yield* partialContent(range, signal));
  if (all) yield (await all).subarray(range.offset, range.offset + range.length);
}

/** Yields the bytes of a range; or returns the whole file, if the server does not support ranges. */
async function* partialContent(
  { url, head, offset, length }: Range,
  signal: AbortSignal | undefined,
): AsyncGenerator<OwnBytes, OwnBytes | undefined> {
  const headers = { range: `bytes=${offset}-${offset + length - 1}` };
  const response = await fetch(url, { headers, cache: "no-store", ...(signal && { signal }) });
  refuseChanged(url, head, response);
  if (response.status === 200) {
    const fetched = readWhole(url, response, head.size);
    whole.set(url, fetched); // as long as the page lives
    fetched.catch(() => whole.delete(url));
    return fetched;
  }
  const range = response.headers.get("content-range");
  if (response.status !== 206 || (range !== null && !range.startsWith(`bytes ${offset}-`))) {
    await response.body?.cancel();
    throw isPassing(response) ? new Error(`the server returned ${response.status}`) : refused(url, response.status);
  }
  let received = 0;
  for await (const chunk of chunksOf(response)) {
    received += chunk.length;
    if (received > length) throw new ClipError("CLIP_FILE", `${url} sends more than the ${length} bytes requested`);
    yield chunk;
  }
  return undefined;
}

/** Throws if the response belongs to another version of the file. */
function refuseChanged(url: string, head: Head, { status, headers }: Response): void {
  if (status !== 200 && status !== 206) return;
  const version = versionOf(headers);
  const total = status === 206 ? /\/(\d+)$/.exec(headers.get("content-range") ?? "")?.[1] : undefined;
  const isSame =
    (version === "" || head.version === "" || version === head.version) && (!total || Number(total) === head.size);
  if (isSame) return;
  heads.delete(url);
  throw new ClipError("CLIP_FILE", `${url} changed while it was being read; load the model again`);
}

/** A file's ETag, without marks of compression, or its date; empty if the server sends neither. */
function versionOf(headers: Headers): string {
  const tag = headers.get("etag")?.replace(/^W\/|[-;]gzip(?="$)/g, "");
  return tag ?? headers.get("last-modified") ?? "";
}

/** Reads a file from a server without range requests. */
async function readWhole(url: string, response: Response, size: number): Promise<OwnBytes> {
  const bytes = new Uint8Array(size);
  let done = 0;
  for await (const chunk of chunksOf(response)) {
    if (done + chunk.length > size) break;
    bytes.set(chunk, done);
    done += chunk.length;
  }
  if (done === size) return bytes;
  throw new ClipError("CLIP_FILE", `${url} does not have the announced ${size} bytes`);
}

const pause = (attempt: number) => new Promise((resolve) => setTimeout(resolve, 100 * 3 ** attempt));

const isPassing = ({ status }: Response): boolean => status >= 500 || status === 429;

/** Servers of single-page applications return their page in place of a missing file. */
const isPage = ({ headers }: Response): boolean => /^text\/html\b/.test(headers.get("content-type") ?? "");

/** @throws {ClipError} `CLIP_FILE` if the server is unreachable. */
async function fetchWithRetries(url: string, init: RequestInit): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(url, init).catch((cause: unknown) => {
      const why = "the server is unreachable, or does not allow other origins (CORS)";
      throw new ClipError("CLIP_FILE", `cannot fetch ${url}: ${why}`, { cause });
    });
    if (!isPassing(response) || response.status === 501 || attempt === maxIdleAttempts) return response;
    await response.body?.cancel();
    await pause(attempt);
  }
}

/** Chunks of a response body; some browsers' streams are not iterable. */
async function* chunksOf(response: Response): AsyncGenerator<OwnBytes> {
  const reader = response.body!.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
}

function refused(url: string, status: number): ClipError {
  const why = status === 404 ? "there is no such file" : `the server returned ${status}`;
  return new ClipError("CLIP_FILE", `cannot fetch ${url}: ${why}`);
}

function headOf(url: string): Promise<Head | undefined> {
  let head = heads.get(url);
  if (!head) {
    head = fetchHead(url);
    heads.set(url, head);
    // A missing file or a failure is not cached: the next request may succeed.
    void head.then(
      (found) => found ?? heads.delete(url),
      () => heads.delete(url),
    );
  }
  return head;
}

/** Metadata from the server or, if it is unreachable, from the last visit. */
async function fetchHead(url: string): Promise<Head | undefined> {
  const before = (await (await kept(url, "head"))?.json()) as Head | null | undefined;
  let head: Head | undefined;
  try {
    head = await askHead(url);
  } catch (error) {
    // Only errors of unreachable servers have a cause.
    if (before !== undefined && (error as Error).cause) return before ?? undefined;
    throw error;
  }
  if (before && before.version !== head?.version) await forget(url);
  await keep(url, "head", JSON.stringify(head ?? null));
  return head;
}

/** Some servers do not support HEAD, or answer without a length; a request for the first byte works with all. */
async function askHead(url: string): Promise<Head | undefined> {
  const asked = await fetchWithRetries(url, { method: "HEAD", cache: "no-cache" });
  const length = asked.headers.get("content-length");
  if (asked.status === 404 || asked.status === 410 || (asked.ok && isPage(asked))) return undefined;
  if (asked.ok && length !== null && !asked.headers.has("content-encoding"))
    return { size: Number(length), version: versionOf(asked.headers) };
  const first = await fetchWithRetries(url, { headers: { range: "bytes=0-0" }, cache: "no-store" });
  await first.body?.cancel();
  // Object stores without permission to list answer 403 for missing files.
  if ([403, 404, 410].includes(first.status) || (first.ok && isPage(first))) return undefined;
  if (!first.ok && first.status !== 416) throw refused(url, first.status);
  const said = first.headers.has("content-encoding") ? null : first.headers.get("content-length");
  const total = first.headers.get("content-range")?.split("/")[1] ?? (first.status === 200 ? said : null);
  if (total !== null && /^\d+$/.test(total)) return { size: Number(total), version: versionOf(first.headers) };
  // The server hides the size, at least from other origins; only a full download reveals it.
  const response = await fetchWithRetries(url, { cache: "no-store" });
  if (!response.ok) throw refused(url, response.status);
  const bytes = await readAll(url, response);
  whole.set(url, Promise.resolve(bytes));
  return { size: bytes.length, version: versionOf(response.headers) };
}

async function readAll(url: string, response: Response, maxBytes = Infinity): Promise<OwnBytes> {
  const chunks: OwnBytes[] = [];
  let length = 0;
  for await (const chunk of chunksOf(response)) {
    chunks.push(chunk);
    if ((length += chunk.length) > maxBytes)
      throw new ClipError("CLIP_FILE", `${url} has more than ${maxBytes} bytes, the limit for such a file`);
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

/** Deletes the weights and other files cached for later visits. */
export async function clearCache(): Promise<void> {
  heads.clear();
  declared.clear();
  whole.clear();
  await forgetAll();
}
