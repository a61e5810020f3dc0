import { z } from "zod";
import { join, wholeAddress } from "../../core/addresses.ts";
import { ClipError } from "../../core/errors.ts";
import { declareFolder, exists, readText } from "../../core/files.browser.ts";
import { maxConfigBytes } from "../../core/limits.ts";
import { knownModels, pictograms } from "./known-models.ts";
import { companions, openClipConfigName, weightsAmong } from "./model-file-names.ts";
import { fromOpenClipName } from "./open-clip-names.ts";
import type { resolveModel as inNode } from "./resolve.ts";

export type { ResolveOptions } from "./resolve.ts";

const hubUrl = "https://huggingface.co";

/**
 * The address of a model: a folder or weight file by its address, from the page's own on if it is not a whole one; a published
 * name or a repository of Hugging Face's hub, so that a folder of two parts begins with "./"; or "pictograms", whose folder lies
 * beside the page. No weights are fetched yet; of a folder its config or list of files is, so that what is not there is not asked for.
 *
 * @throws {ClipError} `CLIP_USAGE` if no model is named: what a visitor fetches is for the page to say.
 */
export const resolveModel: typeof inNode = async (name, { onLicence, files } = {}) => {
  if (name === undefined)
    throw new ClipError(
      "CLIP_USAGE",
      'a page names its model: the address of a folder, a repository of Hugging Face\'s hub, or "pictograms", which knows ' +
        "drawings, not photos, and whose folder lies beside the page",
    );
  const model = fromOpenClipName(name);
  const known = knownModels.find((other) => other.name === model);
  if (known?.nonFree) onLicence?.(known);
  const repository = known?.repository ?? model;
  const isFile = /\.(safetensors|json|pt|pth|bin)$/.test(model);
  if (known || (/^[\w-][\w.-]*\/[\w.-]+$/.test(repository) && !isFile)) {
    const folder = `${hubUrl}/${repository}/resolve/main`;
    if (files) declareFolder(folder, (name) => files.includes(name));
    else await declareRepository(repository, folder);
    return folder;
  }
  const address = wholeAddress(model === pictograms ? "./pictogram-clip/" : model);
  if (files) declareFolder(address, (name) => files.includes(name));
  else if (!isFile) await declareByConfig(address);
  return address;
};

const listSchema = z.array(z.looseObject({ type: z.string(), path: z.string() }));

/** By the hub's list; where that cannot be had, the files themselves are asked for. */
async function declareRepository(repository: string, folder: string): Promise<void> {
  const text = await readText(`${hubUrl}/api/models/${repository}/tree/main`, maxConfigBytes).catch(() => "");
  const names = listSchema
    .safeParse(parsed(text))
    .data?.filter(({ type }) => type === "file")
    .map(({ path }) => path);
  if (!names) return;
  const needed = new Set([...weightsAmong(names), ...names.filter((name) => companions.test(name))]);
  declareFolder(folder, (name) => needed.has(name));
}

/**
 * By the config: ours says what else there is; with that of transformers, open_clip's is not needed, and the version that wrote it
 * says which of two files of the image processor is likely there: the older one, unless transformers 5 wrote it.
 */
async function declareByConfig(folder: string): Promise<void> {
  const text = await readText(join(folder, "config.json"), maxConfigBytes).catch((error: unknown) => error as Error);
  if (typeof text !== "string") {
    // Whoever cannot be reached may have it all the same.
    if (!text.cause) declareFolder(folder, (name) => (name === "config.json" ? false : undefined));
    return;
  }
  const config = z.looseObject({}).safeParse(parsed(text)).data ?? {};
  if ("embedDim" in config) {
    const named = ["config.json", "model.safetensors", config["tokenizer"], config["words"]];
    if (config["tokenizer"] === "tokenizer.json") named.push("tokenizer_config.json");
    declareFolder(folder, (name) => named.includes(name));
  } else if ("model_type" in config) {
    const sure = new Map([
      ["config.json", true],
      [openClipConfigName, false],
    ]);
    const isVersion5 = /^([5-9]|\d\d)/.test(String(config["transformers_version"]));
    if (!isVersion5 && (await exists(join(folder, "preprocessor_config.json"))))
      sure.set("preprocessor_config.json", true).set("processor_config.json", false);
    declareFolder(folder, (name) => sure.get(name));
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // whoever reads it says so
  }
}
