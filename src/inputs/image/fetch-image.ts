import { ClipError } from "../../core/errors.ts";
import type { DecodeOptions } from "./image-source.ts";

/** Bytes of a file beyond which it is refused before it is read. */
export const maxImageBytes = 512 * 2 ** 20;

/** Time in which an address must have answered in full, unless the caller says otherwise. */
const defaultTimeoutMs = 60_000;

/** What an address answered. */
export interface FetchedImage {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** What the server says it is, without parameters. */
  readonly contentType: string | undefined;
}

/**
 * The bytes at an `https:`, `http:`, `data:` or `blob:` address, in a page also at one relative to the page. Redirects are followed as
 * browsers do: twenty at most, and only over HTTP.
 *
 * @param name - the address in messages.
 * @throws {ClipError} `CLIP_IMAGE` if it cannot be fetched, answers with an error, takes longer than `timeoutMs`, or has more than
 *   {@link maxImageBytes}. The reason of `signal` if that aborts.
 */
export async function fetchImage(
  name: string,
  address: string,
  { signal, timeoutMs = defaultTimeoutMs }: Pick<DecodeOptions, "signal" | "timeoutMs">,
): Promise<FetchedImage> {
  if (/^https?:\/\/[^/]*@/i.test(address)) {
    const problem = "cannot be fetched, since its address has a user name or password";
    throw new ClipError("CLIP_IMAGE", `${name} ${problem}; fetch it yourself and give its bytes`);
  }
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(address, { signal: signal ? AbortSignal.any([signal, timeout]) : timeout });
    if (!response.ok) {
      await response.body?.cancel();
      const status = `${response.status} ${response.statusText.slice(0, 100)}`.trim();
      throw new ClipError("CLIP_IMAGE", `${name} cannot be fetched: the server returned ${status}; ${wayOut(response)}`);
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
      const wanted = `has not been fetched within ${timeoutMs / 1000} seconds; raise timeoutMs`;
      throw new ClipError("CLIP_IMAGE", `${name} ${wanted} or download it first`, { cause });
    }
    // Node's fetch says why in the cause of its error.
    const { message, cause: reason } = cause as Error;
    throw new ClipError(
      "CLIP_IMAGE",
      `${name} cannot be fetched: ${reason instanceof Error ? reason.message : message}`,
      { cause },
    );
  }
}

/** What helps after an answer that is an error. */
function wayOut({ status, headers }: Response): string {
  if ([401, 403, 407].includes(status)) return "download it where you have access, and give the file";
  if (status < 500 && ![408, 425, 429].includes(status)) return "check the address";
  const [seconds] = /^\d{1,6}$/.exec(headers.get("retry-after") ?? "") ?? [];
  return seconds === undefined ? "try again later" : `try again in ${seconds} seconds`;
}

/** All bytes of an answer; no more than {@link maxImageBytes} are ever held. */
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

/** The error for a file that is too large to be read. */
export function tooManyBytes(name: string): ClipError {
  return new ClipError("CLIP_IMAGE", `${name} has more than ${maxImageBytes / 2 ** 20} MiB; shrink the image first`);
}
