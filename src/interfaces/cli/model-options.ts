import { basename } from "node:path";
import { Option } from "@commander-js/extra-typings";
import { ClipError } from "../../core/errors.ts";
import type { DownloadProgress } from "../../core/progress.ts";
import { type Device, sessionWorkers } from "../../engine/runtime/devices.ts";
import type { EncoderOptions } from "../../model/embedding/compiled-towers.ts";
import { modelName } from "../../model/hub/cache.ts";
import { defaultModel, pictograms, pictogramsNotice } from "../../model/hub/known-models.ts";
import { resolveModel } from "../../model/hub/resolve.ts";
import { type ReadModelOptions } from "../../model/pretrained/model-files.ts";
import { readModel, type StoredModel } from "../../model/pretrained/model-folder.ts";
import type { CliIo } from "./io.ts";
import { optionGroup, repeated, parseWholeNumber } from "./options.ts";

/** Values of the options that choose a model. */
export interface ModelOptions extends ReadModelOptions, Pick<EncoderOptions, "device" | "dtype"> {
  readonly model?: string | undefined;
  readonly offline?: boolean | undefined;
}

/** The same where several models are compared. */
export interface ModelsOptions extends Omit<ModelOptions, "model"> {
  readonly model?: readonly string[] | undefined;
}

const modelGroup = "Model options:";
const unnamedModel = `${defaultModel}; "pictograms" is in this package and knows drawings, not photos`;
export const modelOption = (unnamed = unnamedModel, note = "") =>
  new Option(
    "--model <name>",
    `a model folder, a weight file, a published model such as ViT-B/32, or a Hugging Face repository${note} (default: ${unnamed})`,
  ).helpGroup(modelGroup);
export const configOption = new Option("--config <file>", "the model's config.json, for a bare weight file");
export const activationOption = new Option(
  "--activation <name>",
  "for a bare weight file without --config: its activation; sizes are read from its tensors",
).choices(["quickGelu", "gelu", "geluTanh"] as const);
export const offlineOption = new Option("--offline", "download nothing: a file that is not in the cache is an error");
export const imageSizeOption = new Option(
  "--image-size <pixels>",
  "read images at this size instead of the model's",
).argParser(parseWholeNumber(8192));
const loraOption = new Option("--lora <folder>", "a LoRA that clip-ts train wrote, to merge into the weights");
const dtypeOption = new Option(
  "--dtype <name>",
  "quantize the weights of linear layers to 8 or 4 bits on load, to save memory",
).choices(["q8", "q4"] as const);
const deviceOption = new Option("--device <name>", "the device to compute on (default: the best one here)").choices(
  Object.keys(sessionWorkers) as Device[],
);

const filesOptions = [configOption, activationOption, offlineOption];
const towerOptions = [loraOption, imageSizeOption, dtypeOption, deviceOption];
for (const option of [...filesOptions, ...towerOptions]) option.helpGroup(modelGroup);

/** Adds all options of a command that runs a model. */
export const addModelOptions = optionGroup<ModelOptions>(modelOption(), ...filesOptions, ...towerOptions);
/** The same, with `--model` repeatable. */
export const addModelsOptions = optionGroup<ModelsOptions>(
  modelOption(unnamedModel, "; may be repeated").argParser(repeated),
  ...filesOptions,
  ...towerOptions,
);
/** For commands that take a model as an argument and run none of its towers: no `--dtype`, no `--device`. */
export const addStoredModelOptions = optionGroup<Omit<ModelOptions, "model" | "device" | "dtype">>(
  ...filesOptions,
  loraOption,
  imageSizeOption,
);
/** For commands that need a model's vocabulary or preprocessing, and none of its weights. */
export const addModelFilesOptions = (unnamed: string) =>
  optionGroup<Pick<ModelOptions, "model" | "config" | "activation" | "offline">>(modelOption(unnamed), ...filesOptions);

/** Finds a model on this machine or downloads it, with progress. */
export async function locateModel(
  model: string,
  { offline }: { readonly offline?: boolean | undefined },
  io: CliIo,
): Promise<string> {
  const path = await resolveModel(model, {
    offline,
    signal: io.signal,
    onLicence: ({ name, licence }) => io.err(`${name} has its own licence (${licence}); read it before you use it`),
    onFetch: ({ name, bytes, folder }) => io.err(`fetching ${name}: ${megabytes(bytes)} into ${folder}`),
    onStale: (reason) => io.err(reason),
    onProgress: showDownload(io),
  });
  if (modelName(path) === pictograms) io.err(`${pictogramsNotice}; ${defaultModel} knows photos`);
  return path;
}

export const showDownload =
  (io: CliIo) =>
  ({ url, received, total }: DownloadProgress): void => {
    const share = total === undefined ? "" : ` of ${megabytes(total)}, ${Math.floor((100 * received) / total)} %`;
    io.progress(`${basename(url)}  ${megabytes(received)}${share}`);
  };

/** "338.0 MB" */
export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

/** Reads the model of the options; where they name none, `unnamed`. */
export async function readChosenModel(options: ModelOptions, io: CliIo, unnamed = defaultModel): Promise<StoredModel> {
  const { model, config, activation, imageSize, lora } = options;
  if (model === undefined && (config ?? activation) !== undefined)
    throw new ClipError("CLIP_USAGE", "--config and --activation are for a weight file; name it with --model");
  const path = await locateModel(model ?? unnamed, options, io);
  return readModel(path, { config, activation, imageSize, lora });
}

export const encoderOptions = ({ device, dtype }: ModelOptions) => ({ device, dtype });

/** Whether the options name a model. `--config` or `--activation` alone count, and are refused by {@link readChosenModel}. */
export const hasModel = ({ model, config, activation }: ModelOptions): boolean =>
  (model ?? config ?? activation) !== undefined;
