import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { makeFolder, writeFileAtomic } from "../core/atomic-write.ts";
import { ClipError, problemOf } from "../core/errors.ts";
import { archiveFolder } from "./cache.ts";
import { offlineByDefault } from "./environment.ts";
import { withLock } from "../core/lock.ts";
import type { FetchOptions } from "./fetch-options.ts";

/**
 * One of OpenAI's archives, where Python's own package keeps it, after it was fetched unless it is there as it should be.
 *
 * @param source - its address, the last part of which is its name, and the sum that it must have, wherever it is from.
 * @throws {ClipError} `CLIP_DOWNLOAD` if it is not there and cannot be fetched; `CLIP_FILE` if the cache cannot be written.
 */
export async function fetchArchive(
  { url, sha256 }: { readonly url: string; readonly sha256: string },
  options: FetchOptions,
): Promise<string> {
  const target = join(archiveFolder(), basename(url));
  if (await isIntact(target, sha256)) return target;
  if (options.offline ?? offlineByDefault())
    throw new ClipError(
      "CLIP_DOWNLOAD",
      `${basename(url)} is not in the cache (${target}), and offline nothing is fetched`,
    );
  // What asks the network is loaded when it is needed.
  const { discard, download } = await import("./download.ts");
  await makeFolder(archiveFolder(), `fetch ${url} by hand and name the file`);
  // What is not intact is removed by one process alone: another may have fetched it in the meantime.
  await withLock(
    `${target}.replaced.lock`,
    async () => {
      if (await isIntact(target, sha256)) return;
      await discard(target);
      await download(url, target, { ...options, checksum: { sha256 } });
      await isIntact(target, sha256); // so that it is noted
    },
    options,
  );
  return target;
}

/**
 * Whether a file is there as it should be: Python leaves what it had when it was interrupted under the same name. That takes a
 * second for the largest, so what was found out is remembered for as long as the file is not touched.
 */
async function isIntact(path: string, sha256: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (!found) return false;
  const seen = `${sha256} ${found.size} ${found.mtimeMs}`;
  const note = `${path}.verified`;
  if ((await readFile(note, "utf8").catch(() => "")) === seen) return true;
  const hash = createHash("sha256");
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  } catch (cause) {
    throw new ClipError("CLIP_FILE", `cannot read ${path}: ${problemOf(cause)}`, { cause });
  }
  if (hash.digest("hex") !== sha256) return false;
  await writeFileAtomic(note, [seen]).catch(() => undefined); // a cache that cannot be written is checked each time
  return true;
}
