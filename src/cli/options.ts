import { InvalidArgumentError, Option } from "@commander-js/extra-typings";
import { ClipError } from "../core/errors.ts";
import { readModel, type ReadModelOptions, type StoredModel } from "../embedding/index.ts";
import { defaultMaxImagePixels } from "../image/index.ts";

/** Options that several commands share. */
export const modelOption = (unnamed: string) =>
  new Option(
    "--model <path>",
    `a folder with model.safetensors and config.json, or a bare weight file (default: ${unnamed})`,
  );
export const configOption = new Option("--config <file>", "what a bare weight file does not say, as in a config.json");
export const activationOption = new Option(
  "--activation <name>",
  "in place of a config; the sizes are then read off the weights",
).choices(["quickGelu", "gelu", "geluTanh"] as const);

interface ModelOptions extends ReadModelOptions {
  readonly model?: string | undefined;
}

/** The model that the options name, if they name one. */
export async function readNamedModel({ model, ...options }: ModelOptions): Promise<StoredModel | undefined> {
  if (model !== undefined) return readModel(model, { config: options.config, activation: options.activation });
  if (options.config !== undefined || options.activation !== undefined)
    throw new ClipError("CLIP_USAGE", "--config and --activation say what a weight file does not; name it by --model");
  return undefined;
}

/** The model that the options name, or the one in the box. */
export async function readChosenModel(options: ModelOptions): Promise<StoredModel> {
  return (await readNamedModel(options)) ?? readModel();
}

export const orientationOption = new Option(
  "--orientation <what>",
  "turn the picture as its EXIF data say, or ignore them as the reference implementations do",
)
  .choices(["apply", "ignore"] as const)
  .default("apply" as const);

export const maxImagePixelsOption = new Option(
  "--max-image-pixels <n>",
  "largest width × height to accept; checked before decoding",
)
  .argParser(wholeNumber())
  .default(defaultMaxImagePixels);

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

/** The model that comes with the package, as the help calls it. */
export const inTheBox = "the model in the box";

/** Lines to try, below a command's help. */
export function examples(...lines: readonly string[]): string {
  return ["", "Examples:", ...lines.map((line) => `  $ ${line}`)].join("\n");
}
