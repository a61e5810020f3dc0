import { readdir, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

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

/** Where Hugging Face's hub is kept, in the words of its own library. */
export function hubFolder(): string {
  const { HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = process.env;
  return HF_HUB_CACHE ?? join(HF_HOME ?? join(XDG_CACHE_HOME ?? join(homedir(), ".cache"), "huggingface"), "hub");
}

/** The models in the caches, those that Python has fetched among them. */
export async function listCache(): Promise<CachedModel[]> {
  const models: CachedModel[] = [];
  for (const folder of await names(hubFolder())) {
    const [, organisation, name] = /^models--([^-]+(?:-[^-]+)*)--(.+)$/.exec(folder) ?? [];
    const path = join(hubFolder(), folder);
    if (organisation) models.push({ name: `${organisation}/${name}`, path, bytes: await bytesIn(path) });
  }
  for (const file of await names(archiveFolder())) {
    const path = join(archiveFolder(), file);
    if (/\.pt(\.part)?$/.test(file)) models.push({ name: path, path, bytes: await bytesIn(path) });
  }
  return models;
}

/** Removes a model that {@link listCache} has found. */
export async function removeCached({ path }: CachedModel): Promise<void> {
  await rm(path, { recursive: true, force: true });
  await rm(`${path}.verified`, { force: true });
}

async function names(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(() => [])).sort();
}

/** Links are not followed: what they stand for is counted where it lies. */
async function bytesIn(path: string): Promise<number> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => undefined);
  if (!entries) return (await stat(path)).size;
  let bytes = 0;
  for (const entry of entries) if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size;
  return bytes;
}
