import { readdir, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, join } from "node:path";
import { ClipError, problemOf } from "../../core/errors.ts";
import { checkKind, record } from "../../core/options.ts";
import { fileSize, readText } from "../../core/files.ts";
import { maxConfigBytes } from "../../core/limits.ts";
import { huggingFaceHome } from "./environment.ts";
import { pictograms } from "./known-models.ts";
import { pictogramModel } from "./pictograms.ts";

export interface CachedModel {
  /** Name or path for `loadClip`. */
  readonly name: string;
  readonly path: string;
  /** Size on disk, including interrupted downloads. */
  readonly bytes: number;
}

/** Cache of OpenAI's archives, shared with Python's `clip` package. */
export const archiveFolder = (): string => join(homedir(), ".cache", "clip");

/** Cache of Hugging Face's hub. */
export const hubFolder = (): string => process.env["HF_HUB_CACHE"] || join(huggingFaceHome(), "hub");

/** Display name of a model path: its hub name if it is in the cache, else the name of its file or folder. */
export function modelName(path: string): string {
  if (path === pictogramModel) return pictograms;
  const [, owner, name] = /[\\/]models--(.+?)--(.+?)[\\/]snapshots[\\/][^\\/]+$/.exec(path) ?? [];
  return owner === undefined ? basename(path) : `${owner}/${name}`;
}

/** Lists the CLIPs in the caches, including those that Python fetched. */
export async function listCache(): Promise<CachedModel[]> {
  const models: CachedModel[] = [];
  for (const folder of await names(hubFolder())) {
    const [, organisation, name] = /^models--(.+?)--(.+)$/.exec(folder) ?? [];
    const path = join(hubFolder(), folder);
    if (organisation && (await isClip(path)))
      models.push({ name: `${organisation}/${name}`, path, bytes: await bytesIn(path) });
  }
  for (const file of await names(archiveFolder())) {
    const path = join(archiveFolder(), file);
    if (/\.pt(\.part)?$/.test(file)) models.push({ name: path, path, bytes: await bytesIn(path) });
  }
  return models;
}

/**
 * Removes a model that {@link listCache} returned.
 *
 * @throws {ClipError} `CLIP_FILE` if any of it cannot be removed.
 */
export async function removeCached(model: CachedModel): Promise<void> {
  checkKind("removeCached: the model", model, { ...record, wanted: "an entry of listCache's result" });
  const { path } = model;
  try {
    await rm(path, { recursive: true, force: true });
    await rm(`${path}.verified`, { force: true });
  } catch (cause) {
    throw new ClipError("CLIP_FILE", `cannot remove ${path}: ${problemOf(cause)}`, { cause });
  }
}

/** Whether a cached repository holds a supported model, by its configs. */
async function isClip(path: string): Promise<boolean> {
  for (const snapshot of await names(join(path, "snapshots"))) {
    const folder = join(path, "snapshots", snapshot);
    if ((await names(folder)).includes("open_clip_config.json")) return true;
    const config = await readText(join(folder, "config.json"), maxConfigBytes).catch(() => "");
    if (/"model_type"\s*:\s*"(clip|siglip)"/.test(config)) return true;
  }
  return false;
}

async function names(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(() => [])).sort();
}

/** Size of a file or folder, without following links: their targets are in the same folder. */
async function bytesIn(path: string): Promise<number> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => undefined);
  if (!entries) return (await fileSize(path)) ?? 0;
  let bytes = 0;
  for (const entry of entries) if (entry.isFile()) bytes += (await fileSize(join(entry.parentPath, entry.name))) ?? 0; // it may have been removed
  return bytes;
}
