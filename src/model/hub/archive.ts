import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../../core/atomic-write.ts";
import { ClipError, problemOf } from "../../core/errors.ts";
import { archiveFolder } from "./cache.ts";

/**
 * Path of an OpenAI file in the cache of Python's `clip` package; undefined unless it is complete.
 *
 * @throws {ClipError} `CLIP_FILE` if it exists but cannot be read.
 */
export async function cachedArchive({
  file,
  sha256,
}: {
  readonly file: string;
  readonly sha256: string;
}): Promise<string | undefined> {
  const path = join(archiveFolder(), file);
  return (await isIntact(path, sha256)) ? path : undefined;
}

/**
 * Compares a file with its checksum: Python leaves interrupted downloads under the final name. Hashing takes up to a second, so
 * a note beside the file records success until its size or date changes.
 */
async function isIntact(path: string, sha256: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile()) return false;
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
  await writeFileAtomic(note, [seen]).catch(() => undefined); // without the note, a read-only cache is hashed every time
  return true;
}
