import { wholeAddress } from "./addresses.ts";

/*
 * Downloads kept in the browser's cache for later visits. Browsers provide it only over https and on localhost;
 * elsewhere nothing is kept, and nothing fails.
 */

/** Increase the number when the format of the entries changes. */
const cacheName = "clip-ts-1";

/** A cached part of a file; undefined if there is none. */
export async function kept(url: string, part: string): Promise<Response | undefined> {
  return (await openCache())?.match(keyOf(url, part));
}

/** Caches a part of a file, if the page may and the disk has room. */
export async function keep(url: string, part: string, content: BodyInit): Promise<void> {
  const cache = await openCache();
  await cache?.put(keyOf(url, part), new Response(content)).catch(() => undefined);
}

export async function forget(url: string): Promise<void> {
  const cache = await openCache();
  const prefix = keyOf(url, "");
  for (const { url: key } of (await cache?.keys()) ?? []) if (key.startsWith(prefix)) await cache?.delete(key);
}

export async function forgetAll(): Promise<void> {
  if ("caches" in globalThis) await caches.delete(cacheName);
}

async function openCache(): Promise<Cache | undefined> {
  return "caches" in globalThis ? caches.open(cacheName).catch(() => undefined) : undefined;
}

/** Cache key of a part: the file's address with an extra query parameter. */
function keyOf(url: string, part: string): string {
  const key = new URL(wholeAddress(url));
  key.searchParams.set("clip-ts", part);
  return key.href;
}
