import { ClipError } from "../core/errors.ts";
import { wholeAddress } from "../core/addresses.ts";
import { knownModels, pictograms } from "./known-models.ts";
import type { resolveModel as inNode } from "./resolve.ts";

export type { ResolveOptions } from "./resolve.ts";

const hubUrl = "https://huggingface.co";

/**
 * The address of a model: a folder or weight file by its address, from the page's own on if it is not a whole one; a published
 * name or a repository of Hugging Face's hub, so that a folder of two parts begins with "./"; or "pictograms", whose folder lies
 * beside the page. No weights are fetched yet.
 *
 * @throws {ClipError} `CLIP_USAGE` if no model is named: what a visitor fetches is for the page to say.
 */
export const resolveModel: typeof inNode = (model, { onLicence } = {}) => {
  if (model === undefined)
    return Promise.reject(
      new ClipError(
        "CLIP_USAGE",
        'a page names its model: the address of a folder, a repository of Hugging Face\'s hub, or "pictograms", which knows ' +
          "drawings, not photos, and whose folder lies beside the page",
      ),
    );
  if (model === pictograms) return Promise.resolve(wholeAddress("./pictogram-clip/"));
  const known = knownModels.find(({ name }) => name === model);
  if (known?.nonFree) onLicence?.(known);
  const repository = known?.repository ?? model;
  const isFile = /\.(safetensors|json|pt|pth|bin)$/.test(model);
  if (known || (/^[\w-][\w.-]*\/[\w.-]+$/.test(repository) && !isFile))
    return Promise.resolve(`${hubUrl}/${repository}/resolve/main`);
  return Promise.resolve(wholeAddress(model));
};
