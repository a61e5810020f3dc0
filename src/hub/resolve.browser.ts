import { ClipError } from "../core/errors.ts";
import { wholeAddress } from "../core/addresses.ts";
import { knownModels } from "./known-models.ts";
import { fromOpenClipName } from "./open-clip-names.ts";
import type { resolveModel as inNode } from "./resolve.ts";

export type { ResolveOptions } from "./resolve.ts";

const hubUrl = "https://huggingface.co";

/**
 * The address of a model: a folder or weight file by its address, from the page's own on if it is not a whole one; a repository of
 * Hugging Face's hub by its name, so that a folder of two parts begins with "./". Nothing is fetched yet.
 *
 * @throws {ClipError} `CLIP_DOWNLOAD` if it is one of OpenAI's archives, which their server gives to no page.
 */
export const resolveModel: typeof inNode = (name, { onLicence } = {}) => {
  const model = fromOpenClipName(name);
  const known = knownModels.find((other) => other.name === model);
  if (known && "url" in known.source) {
    const { architecture } = known;
    const same = knownModels.find(
      ({ source, ...other }) => "repository" in source && other.architecture === architecture,
    );
    const wayOut = same
      ? `load "${same.name}"`
      : `write it with "clip-ts convert ${model} FOLDER --to hf" and serve that`;
    return Promise.reject(
      new ClipError("CLIP_DOWNLOAD", `OpenAI's server gives ${model} to no page of another site; ${wayOut}`),
    );
  }
  if (known?.nonFree) onLicence?.(known);
  const isFile = /\.(safetensors|json|pt|pth|bin)$/.test(model);
  if (/^[\w-][\w.-]*\/[\w.-]+$/.test(model) && !isFile) return Promise.resolve(`${hubUrl}/${model}/resolve/main`);
  return Promise.resolve(wholeAddress(model));
};
