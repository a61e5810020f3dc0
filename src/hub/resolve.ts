import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readFile, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { writeFileAtomic } from "../core/atomic-write.ts";
import { ClipError } from "../core/errors.ts";
import { exists } from "../core/files.ts";
import { archiveFolder } from "./cache.ts";
import { offlineByDefault } from "./environment.ts";
import { type KnownModel, knownModels, nearestName } from "./known-models.ts";
import { withLock } from "./lock.ts";
import type { FetchOptions } from "./repository.ts";

/** How {@link resolveModel} finds a model. */
export interface ResolveOptions extends FetchOptions {
  /** Is told of a licence that asks for more than naming the authors, before anything is fetched. */
  readonly onLicence?: ((model: KnownModel) => void) | undefined;
}

/**
 * Where a model is on this machine: a path as it is; a name such as "ViT-B/32", or a repository of Hugging Face's hub, after
 * it was fetched unless it is in the cache.
 *
 * @throws {ClipError} `CLIP_DOWNLOAD` if it is no name that is known and cannot be fetched.
 */
export async function resolveModel(model: string, options: ResolveOptions = {}): Promise<string> {
  if (await exists(model)) return model;
  const known = knownModels.find(({ name }) => name === model);
  if (known?.nonFree) options.onLicence?.(known);
  if (known && "url" in known.source) return fetchArchive(known.source, options);
  if (/^[\w.-]+\/[\w.-]+$/.test(model) && !model.startsWith(".")) {
    // What asks the network is loaded when it is needed: a program that has its model starts sooner.
    const { fetchRepository } = await import("./repository.ts");
    return fetchRepository(model, options);
  }
  const nearest = nearestName(model);
  const hint = nearest ? `; did you mean "${nearest}"?` : "";
  const wanted = "name a folder, a weight file, or a published model (clip-ts models list)";
  throw new ClipError("CLIP_FILE", `the model ${model} does not exist${hint || `; ${wanted}`}`);
}

/** One of OpenAI's archives, where Python's own package keeps it. */
async function fetchArchive(
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
  const { download } = await import("./download.ts");
  await mkdir(archiveFolder(), { recursive: true });
  // What is not intact is removed by one process alone: another may have fetched it in the meantime.
  await withLock(
    `${target}.replaced.lock`,
    async () => {
      if (await isIntact(target, sha256)) return;
      await rm(target, { force: true });
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
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  if (hash.digest("hex") !== sha256) return false;
  await writeFileAtomic(note, [seen]).catch(() => undefined); // a cache that cannot be written is checked each time
  return true;
}
