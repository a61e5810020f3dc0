import { readdir, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, join } from "node:path";
import { ClipError, problemOf } from "../../core/errors.ts";
import { checkKind, record } from "../../core/options.ts";
import { sizeOf, readText } from "../../core/files.ts";
import { maxConfigBytes } from "../../core/limits.ts";
import { huggingFaceHome } from "./environment.ts";
import { pictograms } from "./known-models.ts";
import { pictogramModel } from "./pictograms.ts";

/** A model in the cache. */
export interface CachedModel {
  /** As one would name it to load it. */
  readonly name: string;
  readonly path: string;
  /** On disk, what is left of broken downloads among them. */
  readonly bytes: number;
}

/** Where OpenAI's archives are kept, by Python's own package too. */
export const archiveFolder = (): string => join(homedir(), ".cache", "clip");

/** Where Hugging Face's hub is kept. */
export const hubFolder = (): string => process.env["HF_HUB_CACHE"] || join(huggingFaceHome(), "hub");

/** What a model is called, by its path: its name on the hub where it lies in the cache, and the name of its file or folder elsewhere. */
export function modelName(path: string): string {
  if (path === pictogramModel) return pictograms;
  const [, owner, name] = /[\\/]models--(.+?)--(.+?)[\\/]snapshots[\\/][^\\/]+$/.exec(path) ?? [];
  return owner === undefined ? basename(path) : `${owner}/${name}`;
}

/** The CLIPs in the caches, those that Python has fetched among them; other models there are none of our business. */
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
 * Removes a model that {@link listCache} has found.
 *
 * @throws {ClipError} `CLIP_FILE` if it cannot be removed, or not all of it.
 */
export async function removeCached(model: CachedModel): Promise<void> {
  checkKind("removeCached: the model", model, { ...record, wanted: "an entry of what listCache gives" });
  const { path } = model;
  try {
    await rm(path, { recursive: true, force: true });
    await rm(`${path}.verified`, { force: true });
  } catch (cause) {
    throw new ClipError("CLIP_FILE", `cannot remove ${path}: ${problemOf(cause)}`, { cause });
  }
}

/** Whether a cached repository is one of a kind that is read here, by its configs. */
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

/** Links are not followed: what they stand for is counted where it lies. */
async function bytesIn(path: string): Promise<number> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => undefined);
  if (!entries) return (await sizeOf(path)) ?? 0;
  let bytes = 0;
  for (const entry of entries) if (entry.isFile()) bytes += (await sizeOf(join(entry.parentPath, entry.name))) ?? 0; // it may go meanwhile
  return bytes;
}
