import { type Command, InvalidArgumentError, Option, type OptionValues } from "@commander-js/extra-typings";
import { defaultMaxImagePixels } from "../../inputs/image/image-source.ts";

/** Values are of the type that the group states, so the types of the options do not matter. */
type AnyOption = Pick<Option, "flags" | "description">;

/** Makes a function that adds a group of options to a command; `Added` is the type of their values. */
export const optionGroup =
  <Added extends object>(...options: readonly AnyOption[]) =>
  <Args extends unknown[], Options extends OptionValues>(command: Command<Args, Options>) => {
    for (const option of options) command.addOption(option as Option);
    return command as unknown as Command<Args, Options & { [Name in keyof Added]: Added[Name] }>;
  };

export type OptionsOf<Create extends () => { opts(): object }> = ReturnType<ReturnType<Create>["opts"]>;

export const jsonOption = new Option("--json", "print one JSON document: model, data, results, skipped");
export const htmlOption = new Option("--html <file>", "write an HTML page of the results");
export const outOption = (unnamed?: string) =>
  new Option(`--out <folder>`, `the folder to write to${unnamed === undefined ? "" : ` (default: ${unnamed})`}`);
export const resumeOption = new Option("--resume", "continue from the folder's last checkpoint");
export const validationOption = (unnamed: string) =>
  new Option("--validation <source>", `validation images (default: ${unnamed})`);
export const seedOption = new Option("--seed <n>", "seed of the random numbers").argParser(parseWholeNumber());
export const shardSizeOption = new Option("--shard-size <n>", "samples per shard")
  .argParser(parseWholeNumber(1_000_000))
  .default(10_000);
export const separatorOption = new Option("--separator <text>", "the text between several captions in one column");
export const truncateOption = new Option(
  "--truncate",
  "cut labels that are too long for the model, and report the cuts",
);
export const topKOption = (unnamed: string) =>
  new Option("--top-k <n>", `most results of an image or a query (default: ${unnamed})`).argParser(parseWholeNumber());
export const maxImagePixelsOption = new Option(
  "--max-image-pixels <n>",
  "largest width × height to accept; checked before decoding",
)
  .argParser(parseWholeNumber())
  .default(defaultMaxImagePixels);

export const imagesOption = new Option(
  "--images <folder>",
  "the folder that a table's image paths are relative to and must stay in, links followed (default: the table's folder)",
);
export const imageColumnOption = new Option(
  "--image-column <name>",
  "a table's column with the images (default: image, path or filepath)",
);
const captionColumnOption = new Option(
  "--caption-column <name>",
  "a table's column, or the key in a shard's JSON, with the captions (default: caption or title)",
);
export const addTableOptions = optionGroup<{
  readonly imageColumn?: string | undefined;
  readonly captionColumn?: string | undefined;
  readonly images?: string | undefined;
}>(imageColumnOption, captionColumnOption, imagesOption);

export function parseWholeNumber(max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= 1 && value <= max) return value;
    const range = max === Number.MAX_SAFE_INTEGER ? "of at least 1" : `from 1 to ${max}`;
    throw new InvalidArgumentError(`It must be a whole number ${range}.`);
  };
}

export const numberUpTo =
  (max: number) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() !== "" && value >= 0 && value <= max) return value;
    throw new InvalidArgumentError(`It must be a number from 0 to ${max}.`);
  };

export function positive(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError("It must be a number above 0.");
}

export function repeated(text: string, before: readonly string[] = []): string[] {
  return [...before, text];
}

/** For templates; may be repeated. */
export function repeatedTemplate(text: string, before?: readonly string[]): string[] {
  if (text.includes("{}")) return repeated(text, before);
  throw new InvalidArgumentError('It has no {} for the label, as in "a photo of a {}".');
}

/** The command to type to continue what was stopped: as it was typed, with `--resume`. */
export function lineToResume(command: { readonly parent: { readonly args: readonly string[] } | null }): string {
  const args = command.parent!.args.filter((arg) => arg !== "--resume");
  return ["clip-ts", ...args, "--resume"].map(quoteForShell).join(" ");
}

function quoteForShell(arg: string): string {
  return /^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`;
}

export function examples(...lines: readonly string[]): string {
  return ["", "Examples:", ...lines.map((line) => `  $ ${line}`)].join("\n");
}
