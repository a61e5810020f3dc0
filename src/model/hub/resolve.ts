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

export interface ResolveOptions extends FetchOptions {
  /** Called before fetching a model whose licence requires more than attribution. */
  readonly onLicence?: ((model: KnownModel) => void) | undefined;
  /** In a page: names of the files in the model's folder. Others are not requested, which avoids 404s. Ignored in Node. */
  readonly files?: readonly string[] | undefined;
}

/**
 * Returns the local path of a model, fetching it if necessary.
 *
 * @param name - a path, "pictograms" (the bundled model), a published name such as "ViT-B/32", or a repository on Hugging Face's
 *   hub. Default: `defaultModel`, 605 MB.
 * @throws {ClipError} `CLIP_DOWNLOAD` if it is not cached and cannot be fetched, `CLIP_FILE` if no such path or name exists.
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
    // Network code is loaded on demand, so programs with a local model start sooner.
    const { fetchRepository } = await import("./repository.ts");
    return fetchRepository(repository, options);
  }
  const nearest = nearestName(model);
  const hint = nearest ? `; did you mean "${nearest}"?` : "";
  const wanted = "name a folder, a weight file, or a published model (clip-ts models list)";
  throw new ClipError("CLIP_FILE", `the model ${model} does not exist${hint || `; ${wanted}`}`);
}
