import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { ClipError } from "../../core/errors.ts";
import { packageFile } from "../../core/package-files.ts";
import { parseMerges } from "./merges-file.ts";
import { publishedMerges } from "./published-merges.ts";

/**
 * Reads OpenAI's 48,894 merges, which nearly every CLIP uses.
 *
 * @throws {ClipError} `CLIP_FILE` if the package's asset is missing or has the wrong checksum.
 */
export async function readPublishedMerges(): Promise<string[]> {
  const { sha256, bytes } = publishedMerges;
  const asset = packageFile(publishedMerges.asset);
  let merges: Buffer;
  try {
    merges = await promisify(gunzip)(await readFile(asset), { maxOutputLength: bytes });
    const met = createHash("sha256").update(merges).digest("hex");
    if (met !== sha256) throw new Error(`its SHA-256 is ${met} instead of ${sha256}`);
  } catch (cause) {
    const problem = (cause as Error).message;
    throw new ClipError("CLIP_FILE", `cannot read the CLIP vocabulary: ${problem}; reinstall clip-ts`, { cause });
  }
  return parseMerges(merges.toString("utf8"));
}
