import { basename } from "node:path";
import { type CommandUnknownOpts, InvalidArgumentError, Option } from "@commander-js/extra-typings";
import { ClipError } from "../../core/errors.ts";
import type { DownloadProgress } from "../../core/progress.ts";
import { readModel, type StoredModel } from "../../model/pretrained/model-folder.ts";
import { type ReadModelOptions } from "../../model/pretrained/model-files.ts";
import { defaultModel, pictograms, pictogramsNotice } from "../../model/hub/known-models.ts";
import { modelName } from "../../model/hub/cache.ts";
import { resolveModel } from "../../model/hub/resolve.ts";
import { defaultMaxImagePixels } from "../../inputs/image/image-source.ts";
import type { CliIo } from "./io.ts";

/** Options that several commands share. */
export const modelOption = (
  unnamed = `${defaultModel}; "pictograms" comes with the package and knows drawings, not photos`,
) =>
  new Option(
    "--model <name>",
    `a model folder or weight file, a published name such as ViT-B/32, or a repository of Hugging Face's hub (default: ${unnamed})`,
  );
export const offlineOption = new Option("--offline", "fetch nothing: what is not on this machine is an error");
export const configOption = new Option("--config <file>", "what a bare weight file does not say, as in a config.json");
export const activationOption = new Option(
  "--activation <name>",
  "in place of a config; the sizes are then read off the weights",
).choices(["quickGelu", "gelu", "geluTanh"] as const);

export const imageSizeOption = new Option(
  "--image-size <pixels>",
  "read images at another size than the model was trained with",
).argParser(wholeNumber(8192));

export const loraOption = new Option(
  "--lora <folder>",
  "changes of low rank that a run with lora left in its lora/, added to the model's weights on load",
);

export const dtypeOption = new Option(
  "--dtype <name>",
  "round the weights of linear layers to 8 or 4 bits on load, for memory, and say how close the vectors of the first inputs stay",
).choices(["q8", "q4"] as const);

interface ModelOptions extends ReadModelOptions {
  readonly model?: string | undefined;
  readonly offline?: boolean | undefined;
}

/** Where a model is, fetched if need be, with the progress shown. */
export async function locateModel(model: string, io: CliIo, { offline }: { readonly offline?: boolean | undefined }) {
  const path = await resolveModel(model, {
    offline,
    signal: io.signal,
    onLicence: ({ name, licence }) =>
      io.err(`${name} is under a licence of its own (${licence}): read it before you use it`),
    onFetch: ({ name, bytes, folder }) => io.err(`fetching ${name}: ${megabytes(bytes)} into ${folder}`),
    onStale: (reason) => io.err(reason),
    onProgress: showDownload(io),
  });
  if (modelName(path) === pictograms) io.err(`${pictogramsNotice}; ${defaultModel} knows photos`);
  return path;
}

/** Shows how far a download is. */
export const showDownload =
  (io: CliIo) =>
  ({ url, received, total }: DownloadProgress): void => {
    const share = total === undefined ? "" : ` of ${megabytes(total)}, ${Math.floor((100 * received) / total)} %`;
    io.progress(`${basename(url)}  ${megabytes(received)}${share}`);
  };

/** "338.0 MB" */
export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

/** The model that the options name, if they name one. */
export async function readNamedModel(options: ModelOptions, io: CliIo): Promise<StoredModel | undefined> {
  const { model, config, activation, imageSize, lora } = options;
  if (model !== undefined)
    return readModel(await locateModel(model, io, options), { config, activation, imageSize, lora });
  if (config !== undefined || activation !== undefined)
    throw new ClipError("CLIP_USAGE", "--config and --activation say what a weight file does not; name it by --model");
  return undefined;
}

/** The model that the options name, or the default. */
export async function readChosenModel(options: ModelOptions, io: CliIo): Promise<StoredModel> {
  const { imageSize, lora } = options;
  const named = await readNamedModel(options, io);
  return named ?? readModel(await locateModel(defaultModel, io, options), { imageSize, lora });
}

export const orientationOption = new Option(
  "--orientation <what>",
  "turn the image as its EXIF data say, or ignore them as the reference implementations do",
)
  .choices(["apply", "ignore"] as const)
  .default("apply" as const);

export const maxImagePixelsOption = new Option(
  "--max-image-pixels <n>",
  "largest width × height to accept; checked before decoding",
)
  .argParser(wholeNumber())
  .default(defaultMaxImagePixels);

export const imageColumnOption = new Option(
  "--image-column <name>",
  "a table's column with the images (default: image, path or filepath)",
);
export const imagesOption = new Option(
  "--images <folder>",
  "what a table's paths are relative to, and where its images may lie, links followed (default: its folder)",
);
export const captionColumnOption = new Option(
  "--caption-column <name>",
  "the column of a table, or key of a shard's JSON, with the captions (default: caption or title)",
);

/** For options that count something. */
export function wholeNumber(max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= 1 && value <= max) return value;
    const range = max === Number.MAX_SAFE_INTEGER ? "of at least 1" : `from 1 to ${max}`;
    throw new InvalidArgumentError(`It must be a whole number ${range}.`);
  };
}

/** For options that may be given again and again. */
export function repeated(text: string, before: readonly string[] = []): string[] {
  return [...before, text];
}

/** What to type to go on with a command that was stopped: as it was typed, with `--resume`. */
export function lineToResume(command: CommandUnknownOpts): string {
  const args = command.parent!.args.filter((arg) => arg !== "--resume");
  return ["clip-ts", ...args, "--resume"].map(quoteForShell).join(" ");
}

function quoteForShell(arg: string): string {
  return /^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`;
}

/** For sentences into which names are put; may be given again and again. */
export function repeatedTemplate(text: string, before?: readonly string[]): string[] {
  if (text.includes("{}")) return repeated(text, before);
  throw new InvalidArgumentError('It has no {} to put a name in, as in "a photo of a {}".');
}

/** Lines to try, below a command's help. */
export function examples(...lines: readonly string[]): string {
  return ["", "Examples:", ...lines.map((line) => `  $ ${line}`)].join("\n");
}
