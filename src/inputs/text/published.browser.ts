import { ClipError } from "../../core/errors.ts";
import { parseMerges } from "./merges-file.ts";
import { publishedMerges } from "./published-merges.ts";

// Bundlers search for this literal expression.
const asset = new URL("../../../assets/clip-merges.txt.gz", import.meta.url);

/** {@link import("./published.ts").readPublishedMerges} in a page: fetches the asset placed by the bundler. */
export async function readPublishedMerges(): Promise<string[]> {
  const { sha256, bytes } = publishedMerges;
  try {
    const response = await fetch(asset);
    if (!response.ok) throw new Error(`the server returned ${response.status}`);
    let merges = new Uint8Array(await response.arrayBuffer());
    // Some servers declare .gz files as compressed, and the browser has already unpacked those.
    if (merges[0] === 0x1f && merges[1] === 0x8b) merges = await inflate(merges, bytes);
    await check(merges, sha256);
    return parseMerges(new TextDecoder().decode(merges));
  } catch (cause) {
    throw new ClipError(
      "CLIP_FILE",
      `cannot read the CLIP vocabulary from ${asset.href}: ${(cause as Error).message}`,
      { cause },
    );
  }
}

/** Unpacks gzip to at most `bytes` bytes. */
async function inflate(compressed: Uint8Array<ArrayBuffer>, bytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const inflated = new Uint8Array(bytes);
  const reader = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("gzip")).getReader();
  let done = 0;
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    inflated.set(next.value, done); // throws a RangeError beyond `bytes`
    done += next.value.length;
  }
  return inflated.subarray(0, done);
}

/** Verifies the checksum, if the page has `crypto.subtle`; pages over http lack it. */
async function check(bytes: Uint8Array<ArrayBuffer>, sha256: string): Promise<void> {
  if (!("subtle" in crypto)) return;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const met = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (met !== sha256) throw new Error(`its SHA-256 is ${met} instead of ${sha256}`);
}
