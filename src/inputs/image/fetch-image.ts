import { ClipError } from "../../core/errors.ts";
import type { DecodeOptions } from "./image-source.ts";

export const maxImageBytes = 512 * 2 ** 20;

/** Default time limit for a complete response. */
const defaultTimeoutMs = 60_000;

export interface FetchedImage {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Content type declared by the server, without parameters. */
  readonly contentType: string | undefined;
}

/**
 * Fetches an `https:`, `http:`, `data:` or `blob:` address; in a page also a relative one. Follows redirects as
 * browsers do: at most twenty, and only over HTTP.
 *
 * @param name - name of the image in messages.
 * @throws {ClipError} `CLIP_IMAGE` if it cannot be fetched, the server returns an error, or it exceeds `timeoutMs` or
 *   {@link maxImageBytes}. The signal's reason if `signal` aborts.
 */
export async function fetchImage(
  name: string,
  address: string,
  { signal, timeoutMs = defaultTimeoutMs }: Pick<DecodeOptions, "signal" | "timeoutMs">,
): Promise<FetchedImage> {
  if (/^https?:\/\/[^/]*@/i.test(address)) {
    const problem = "cannot be fetched: its address contains a user name or password";
    throw new ClipError("CLIP_IMAGE", `${name} ${problem}; fetch it yourself and pass its bytes`);
  }
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(address, { signal: signal ? AbortSignal.any([signal, timeout]) : timeout });
    if (!response.ok) {
      await response.body?.cancel();
      const status = `${response.status} ${response.statusText.slice(0, 100)}`.trim();
      throw new ClipError(
        "CLIP_IMAGE",
        `${name} cannot be fetched: the server returned ${status}; ${wayOut(response)}`,
      );
    }
    if (Number(response.headers.get("content-length")) > maxImageBytes) {
      await response.body?.cancel();
      throw tooManyBytes(name);
    }
    const contentType = response.headers.get("content-type")?.split(";")[0]!.trim().slice(0, 100) || undefined;
    return { bytes: await bodyOf(name, response), contentType };
  } catch (cause) {
    if (cause instanceof ClipError) throw cause;
    signal?.throwIfAborted();
    if (timeout.aborted) {
      const wanted = `took longer than ${timeoutMs / 1000} seconds to fetch; raise timeoutMs`;
      throw new ClipError("CLIP_IMAGE", `${name} ${wanted} or download it first`, { cause });
    }
    // Node's fetch puts the reason into the cause of its error.
    const { message, cause: reason } = cause as Error;
    throw new ClipError(
      "CLIP_IMAGE",
      `${name} cannot be fetched: ${reason instanceof Error ? reason.message : message}`,
      { cause },
    );
  }
}

/** Advice for an error response. */
function wayOut({ status, headers }: Response): string {
  if ([401, 403, 407].includes(status)) return "download it where you have access, and pass the file";
  if (status < 500 && ![408, 425, 429].includes(status)) return "check the address";
  const [seconds] = /^\d{1,6}$/.exec(headers.get("retry-after") ?? "") ?? [];
  return seconds === undefined ? "try again later" : `try again in ${seconds} seconds`;
}

/** Reads a response body, holding at most {@link maxImageBytes}. */
async function bodyOf(name: string, response: Response): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = response.body?.getReader();
  for (let read = await reader?.read(); read && !read.done; read = await reader?.read()) {
    length += read.value.length;
    if (length > maxImageBytes) {
      await reader?.cancel();
      throw tooManyBytes(name);
    }
    chunks.push(read.value);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** The error for a file larger than {@link maxImageBytes}. */
export function tooManyBytes(name: string): ClipError {
  return new ClipError("CLIP_IMAGE", `${name} has more than ${maxImageBytes / 2 ** 20} MiB; shrink the image first`);
}
