import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../../core/atomic-write.ts";
import { ClipError, problemOf } from "../../core/errors.ts";
import { archiveFolder } from "./cache.ts";

/**
 * One of OpenAI's files where Python's own package has left it; undefined unless the whole file is there.
 *
 * @throws {ClipError} `CLIP_FILE` if it is there and cannot be read.
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
 * Whether a file is there as it should be: Python leaves what it had when it was interrupted under the same name. That takes a
 * second for the largest, so what was found out is remembered for as long as the file is not touched.
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
  await writeFileAtomic(note, [seen]).catch(() => undefined); // a cache that cannot be written is checked each time
  return true;
}
