import { wholeAddress } from "./addresses.ts";

/*
 * What has arrived, kept in the browser's cache for the next visit. Browsers give one to pages that came over https or from this
 * machine; without one nothing is kept, and nothing fails.
 */

/** The name of the cache; the number changes with what is kept in it. */
const cacheName = "clip-ts-1";

/** What was kept of a file under the name of a part; undefined if nothing was. */
export async function kept(url: string, part: string): Promise<Response | undefined> {
  return (await openCache())?.match(keyOf(url, part));
}

/** Keeps a part of a file. A full disk, or a page that may keep nothing: it goes on without. */
export async function keep(url: string, part: string, content: BodyInit): Promise<void> {
  const cache = await openCache();
  await cache?.put(keyOf(url, part), new Response(content)).catch(() => undefined);
}

/** Removes what was kept of a file. */
export async function forget(url: string): Promise<void> {
  const cache = await openCache();
  const prefix = keyOf(url, "");
  for (const { url: key } of (await cache?.keys()) ?? []) if (key.startsWith(prefix)) await cache?.delete(key);
}

/** Removes what was kept of all files. */
export async function forgetAll(): Promise<void> {
  if ("caches" in globalThis) await caches.delete(cacheName);
}

async function openCache(): Promise<Cache | undefined> {
  return "caches" in globalThis ? caches.open(cacheName).catch(() => undefined) : undefined;
}

/** A cache keeps by addresses: this one is asked for by nobody else. */
function keyOf(url: string, part: string): string {
  const key = new URL(wholeAddress(url));
  key.searchParams.set("clip-ts", part);
  return key.href;
}
