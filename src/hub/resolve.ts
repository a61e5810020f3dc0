import { ClipError } from "../core/errors.ts";
import { exists } from "../core/files.ts";
import { fetchArchive } from "./archive.ts";
import { isRepositoryName, type KnownModel, knownModels, nearestName } from "./known-models.ts";
import { fromOpenClipName } from "./open-clip-names.ts";
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
export async function resolveModel(name: string, options: ResolveOptions = {}): Promise<string> {
  if (await exists(name)) return name;
  const model = fromOpenClipName(name);
  if (model !== name && (await exists(model))) return model;
  const known = knownModels.find((other) => other.name === model);
  if (known?.nonFree) options.onLicence?.(known);
  if (known && "url" in known.source) return fetchArchive(known.source, options);
  if (isRepositoryName(model)) {
    // What asks the network is loaded when it is needed: a program that has its model starts sooner.
    const { fetchRepository } = await import("./repository.ts");
    return fetchRepository(model, options);
  }
  const nearest = nearestName(model);
  const hint = nearest ? `; did you mean "${nearest}"?` : "";
  const wanted = "name a folder, a weight file, or a published model (clip-ts models list)";
  throw new ClipError("CLIP_FILE", `the model ${model} does not exist${hint || `; ${wanted}`}`);
}
