import { ClipError } from "./errors.ts";

/*
 * Files of a page are addresses. Bytes are fetched by ranges, so that a model whose texts alone are asked for costs its text
 * tower alone, and what has arrived is kept in the browser's cache.
 */

/** Bytes of one request at most: what has arrived of a broken download is kept in pieces of this size. */
const pieceBytes = 16 * 2 ** 20;
/** Attempts that bring nothing before it gives up. */
const maxIdleAttempts = 4;
/** The name of the cache; the number changes with what is kept in it. */
const cacheName = "clip-ts-1";

/** What a server says of a file. */
interface Head {
  readonly size: number;
  /** Changes when the file does, as far as the server says so. */
  readonly version: string;
}

/** One answer a visit and file. */
const heads = new Map<string, Promise<Head | undefined>>();
/** Files of servers that know no ranges, as a whole. */
const whole = new Map<string, Promise<Uint8Array<ArrayBuffer>>>();

/** An address from the page's own on, as a whole one; a worker has its script's. */
export function wholeAddress(url: string): string {
  return new URL(url, "document" in globalThis ? document.baseURI : location.href).href;
}

/** The last part of an address. */
export function basename(url: string): string {
  return withoutSlash(url).replace(/^.*\//, "");
}

/** An address without its last part. */
export function dirname(url: string): string {
  return withoutSlash(url).replace(/\/[^/]*$/, "");
}

/** The address of what lies in a folder; what is asked of the folder (`?token=…`) is asked of it too. */
export function join(folder: string, name: string): string {
  const [, path = "", query = ""] = /^([^?#]*)(\?[^#]*)?/.exec(folder) ?? [];
  return `${path.replace(/\/+$/, "")}/${name}${query}`;
}

function withoutSlash(url: string): string {
  return url.replace(/[?#].*$/, "").replace(/\/+$/, "");
}

/** Bytes of a file; undefined if there is none. */
export async function sizeOf(url: string): Promise<number | undefined> {
  return (await headOf(url))?.size;
}

/** Whether there is such a file. */
export async function exists(url: string): Promise<boolean> {
  return (await headOf(url)) !== undefined;
}

/** Whether it is the address of a folder: one that names no file of weights. */
export function isFolder(url: string): Promise<boolean> {
  return Promise.resolve(!/\.(safetensors|json|pt|pth|bin)$/.test(withoutSlash(url)));
}

/** Links are the server's affair. */
export function realFile(url: string): Promise<string> {
  return Promise.resolve(url);
}

/**
 * The text of a file that is read as a whole.
 *
 * @throws {ClipError} `CLIP_FILE` if there is none, it cannot be fetched, or has more than `maxBytes`.
 */
export async function readText(url: string, maxBytes: number): Promise<string> {
  const size = await sizeOf(url);
  if (size === undefined) throw new ClipError("CLIP_FILE", `cannot read ${url}: there is no such file`);
  if (size > maxBytes) throw new ClipError("CLIP_FILE", `${url} has ${size} bytes, and ${maxBytes} at most are read`);
  return new TextDecoder().decode(await readRange(url, 0, size));
}

/**
 * Exactly these bytes of a file, in a buffer of their own.
 *
 * @param onBytes - is told of bytes that arrive, those from the cache among them.
 * @throws {ClipError} `CLIP_FILE` if they cannot be fetched, `CLIP_CHECKPOINT` if the file ends before.
 */
export async function readRange(
  url: string,
  offset: number,
  length: number,
  onBytes: (count: number) => void = () => undefined,
): Promise<Uint8Array<ArrayBuffer>> {
  const head = await headOf(url);
  if (!head) throw new ClipError("CLIP_FILE", `cannot read ${url}: there is no such file`);
  if (offset + length > head.size)
    throw new ClipError("CLIP_CHECKPOINT", `${url} ends at byte ${head.size}, ${offset + length} are wanted`);
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const count = Math.min(pieceBytes, length - done);
    bytes.set(await readPiece(url, head, offset + done, count, onBytes), done);
    done += count;
  }
  return bytes;
}

async function readPiece(url: string, head: Head, offset: number, length: number, onBytes: (count: number) => void) {
  const cache = await openCache();
  const key = keyOf(url, `${head.version} ${offset} ${length}`);
  const kept = await (await cache?.match(key))?.arrayBuffer();
  if (kept?.byteLength === length) {
    onBytes(length);
    return new Uint8Array(kept);
  }
  const bytes = await fetchPiece(url, head, offset, length, onBytes);
  // A full disk, or a page that may keep nothing: it goes on without.
  await cache?.put(key, new Response(bytes)).catch(() => undefined);
  return bytes;
}

/** What arrived before a connection broke is gone on from. */
async function fetchPiece(
  url: string,
  head: Head,
  offset: number,
  length: number,
  onBytes: (count: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const all = whole.get(url);
  if (all) return (await all).slice(offset, offset + length);
  const bytes = new Uint8Array(length);
  let done = 0;
  let problem: unknown;
  for (let idle = 0; idle < maxIdleAttempts; idle++) {
    if (idle > 0) await new Promise((resolve) => setTimeout(resolve, 100 * 3 ** idle));
    const before = done;
    try {
      const range = `bytes=${offset + done}-${offset + length - 1}`;
      const response = await fetch(url, { headers: { range }, cache: "no-store" });
      if (response.status === 200) {
        // No ranges here: it is fetched once and kept for as long as the page lives.
        const fetched = response.arrayBuffer().then((buffer) => sized(url, new Uint8Array(buffer), head.size));
        whole.set(url, fetched);
        fetched.catch(() => whole.delete(url));
        onBytes(length - done);
        return (await fetched).slice(offset, offset + length);
      }
      const met = response.headers.get("content-range");
      const isWanted = response.status === 206 && (met === null || met.startsWith(`bytes ${offset + done}-`));
      if (!isWanted) {
        await response.body?.cancel();
        if (response.status < 500 && response.status !== 429) throw refused(url, response.status);
        throw new Error(`the server answers ${response.status}`);
      }
      for await (const chunk of chunksOf(response)) {
        if (done + chunk.length > length)
          throw new ClipError("CLIP_FILE", `${url} sends more than the ${length} bytes that were asked for`);
        bytes.set(chunk, done);
        done += chunk.length;
        onBytes(chunk.length);
      }
      if (done === length) return bytes;
      problem = new Error("the connection ended early");
    } catch (error) {
      if (error instanceof ClipError) throw error;
      problem = error;
    }
    if (done > before) idle = 0;
  }
  throw new ClipError("CLIP_FILE", `cannot fetch ${url}: ${(problem as Error).message}; load the page again to go on`, {
    cause: problem,
  });
}

/** Streams are iterable in some browsers only. */
async function* chunksOf(response: Response): AsyncGenerator<Uint8Array> {
  const reader = response.body!.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
}

function sized(url: string, bytes: Uint8Array<ArrayBuffer>, size: number): Uint8Array<ArrayBuffer> {
  if (bytes.length === size) return bytes;
  throw new ClipError("CLIP_FILE", `${url} has ${bytes.length} bytes, and ${size} were announced`);
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
    head.catch(() => heads.delete(url));
  }
  return head;
}

/** What the server says, or, where it cannot be reached, what it said at the last visit. */
async function fetchHead(url: string): Promise<Head | undefined> {
  const cache = await openCache();
  const key = keyOf(url, "head");
  let response: Response;
  try {
    response = await fetch(url, { method: "HEAD", cache: "no-cache" });
  } catch (cause) {
    const kept = (await (await cache?.match(key))?.json()) as Head | null | undefined;
    if (kept !== undefined) return kept ?? undefined;
    const why = "the server cannot be reached, or does not let other sites' pages read it (CORS)";
    throw new ClipError("CLIP_FILE", `cannot fetch ${url}: ${why}`, { cause });
  }
  const head = await readHead(url, response);
  await cache?.put(key, new Response(JSON.stringify(head ?? null))).catch(() => undefined);
  return head;
}

async function readHead(url: string, { status, ok, headers }: Response): Promise<Head | undefined> {
  if (status === 404 || status === 410) return undefined;
  if (!ok) throw refused(url, status);
  // Servers of single-page applications answer with their page for whatever they do not have.
  if (/^text\/html\b/.test(headers.get("content-type") ?? "")) return undefined;
  const length = headers.get("content-length");
  // A compressed answer says its own length; the bytes themselves then tell.
  const size =
    length === null || headers.has("content-encoding")
      ? (await (await fetch(url)).arrayBuffer()).byteLength
      : Number(length);
  const version = headers.get("etag") ?? headers.get("last-modified") ?? "";
  return { size, version: `${version} ${size}` };
}

/** Browsers give a cache to pages that came over https or from this machine. */
async function openCache(): Promise<Cache | undefined> {
  return "caches" in globalThis ? caches.open(cacheName).catch(() => undefined) : undefined;
}

/** A cache keeps by addresses: this one is asked for by nobody else. */
function keyOf(url: string, part: string): string {
  const key = new URL(wholeAddress(url));
  key.searchParams.set("clip-ts", part);
  return key.href;
}

/** Removes the weights and other files that were kept for the next visit. */
export async function clearCache(): Promise<void> {
  heads.clear();
  whole.clear();
  if ("caches" in globalThis) await caches.delete(cacheName);
}
