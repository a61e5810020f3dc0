import { ClipError } from "../../core/errors.ts";
import { checkKind, checkOptions, text } from "../../core/options.ts";
import { exists } from "../../core/files.ts";
import { cachedArchive } from "./archive.ts";
import {
  defaultModel,
  isRepositoryName,
  type KnownModel,
  knownModels,
  nearestName,
  pictograms,
} from "./known-models.ts";
import { pictogramModel } from "./pictograms.ts";
import type { FetchOptions } from "../../core/fetch-options.ts";
import { resolveKinds } from "./resolve-kinds.ts";
import { fromOpenClipName } from "./open-clip-names.ts";

/** How {@link resolveModel} finds a model. */
export interface ResolveOptions extends FetchOptions {
  /** Is told of a licence that asks for more than naming the authors, before anything is fetched. */
  readonly onLicence?: ((model: KnownModel) => void) | undefined;
  /**
   * In a page, the names of the files in the model's folder: no other is asked for, so that the console shows none as missing.
   * In Node the folder is read, and this has no effect.
   */
  readonly files?: readonly string[] | undefined;
}

/**
 * The place of a model on this machine: a path as it is; "pictograms", which comes with this package; a name such as "ViT-B/32", or
 * a repository of Hugging Face's hub, after it was fetched unless it is in the caches.
 *
 * @param name - default: `defaultModel`, 605 MB.
 * @throws {ClipError} `CLIP_DOWNLOAD` if it is in no cache and cannot be fetched, `CLIP_FILE` if there is no such path or name.
 */
export async function resolveModel(name = defaultModel, options: ResolveOptions = {}): Promise<string> {
  checkKind("resolveModel: the model", name, text);
  checkOptions("resolveModel", options, resolveKinds);
  if (name === pictograms) return pictogramModel;
  if (await exists(name)) return name;
  const model = fromOpenClipName(name);
  if (model !== name && (await exists(model))) return model;
  const known = knownModels.find((other) => other.name === model);
  if (known?.nonFree) options.onLicence?.(known);
  const archive = known?.archive && (await cachedArchive(known.archive));
  if (archive !== undefined) return archive;
  const repository = known?.repository ?? model;
  if (isRepositoryName(repository)) {
    // What asks the network is loaded when it is needed: a program that has its model starts sooner.
    const { fetchRepository } = await import("./repository.ts");
    return fetchRepository(repository, options);
  }
  const nearest = nearestName(model);
  const hint = nearest ? `; did you mean "${nearest}"?` : "";
  const wanted = "name a folder, a weight file, or a published model (clip-ts models list)";
  throw new ClipError("CLIP_FILE", `the model ${model} does not exist${hint || `; ${wanted}`}`);
}
