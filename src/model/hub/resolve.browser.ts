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
 * Returns the address of a model. Weights are not fetched yet, only a config or file list, to avoid requests for missing files.
 *
 * @param name - an address of a folder or weight file, possibly relative to the page ("./my/model": two parts without "./" are a
 *   repository); a published name or hub repository; or "pictograms", whose folder is beside the page.
 * @throws {ClipError} `CLIP_USAGE` without a name: a page must choose what its visitors download.
 */
export const resolveModel: typeof inNode = async (name, { onLicence, files } = {}) => {
  if (name === undefined)
    throw new ClipError(
      "CLIP_USAGE",
      'no model given; in a page, name one: the address of a folder, a repository on Hugging Face\'s hub, or "pictograms", ' +
        "which knows drawings, not photos, and whose folder must be beside the page",
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

/** Declares a repository's files from the hub's list. If that fails, files are requested one by one. */
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
 * Declares a folder's files from its config. Ours lists them. With a transformers config, open_clip's is not needed, and the
 * image processor's file follows from the version: the older name, unless transformers 5 wrote it.
 */
async function declareByConfig(folder: string): Promise<void> {
  const text = await readText(join(folder, "config.json"), maxConfigBytes).catch((error: unknown) => error as Error);
  if (typeof text !== "string") {
    // A `cause` means that the server was unreachable, so the file may exist.
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
    return undefined; // reported when it is read
  }
}
