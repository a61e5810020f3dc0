import type { TarEntry } from "./tar.ts";

/** Beyond what any camera writes; a picture is read as a whole. */
export const maxImageBytes = 2 ** 28;

/**
 * The files of each sample of a shard as webdataset has them: those that share the name up to its first dot, in the order of the
 * samples' first files.
 */
export function groupByKey(entries: readonly TarEntry[]): Iterable<TarEntry[]> {
  const samples = new Map<string, TarEntry[]>();
  for (const entry of entries) {
    const [key] = /^(.*\/)?[^/.]*/.exec(entry.name)!;
    const sample = samples.get(key);
    if (sample) sample.push(entry);
    else samples.set(key, [entry]);
  }
  return samples.values();
}
