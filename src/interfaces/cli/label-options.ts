import { Option } from "@commander-js/extra-typings";
import type { CliIo } from "./io.ts";
import { optionGroup, repeatedTemplate } from "./options.ts";
import { readLines } from "./text-files.ts";

export interface TemplateOptions {
  readonly template?: readonly string[] | undefined;
  readonly templatesFile?: string | undefined;
}

export const labelsFileOption = new Option("--labels-file <file>", "a text file with one label per line");
export const labelsOption = new Option("--labels <a,b,c>", "the labels, separated by commas").conflicts("labelsFile");
export const addTemplateOptions = optionGroup<TemplateOptions>(
  new Option(
    "--template <sentence>",
    'a sentence with {} for the label; may be repeated (default: "{}", "a photo of a {}", …)',
  )
    .argParser(repeatedTemplate)
    .conflicts("templatesFile"),
  new Option("--templates-file <file>", "a text file with one template per line, with {} or {c} for the label"),
);

/** The templates of the options; undefined if there are none. */
export async function readTemplates({ template, templatesFile }: TemplateOptions, io: CliIo) {
  if (templatesFile === undefined) return template;
  return (await readLines(templatesFile, io)).map(asTemplate);
}

/** A template of CLIP_benchmark, which writes {c} for the label, as one of ours. */
export const asTemplate = (template: string): string => template.replaceAll("{c}", "{}");

/** Prints what was cut off a text that was too long. */
export const reportCut =
  (io: CliIo) =>
  (text: string, dropped: string): void =>
    io.err(`cut ${JSON.stringify(dropped)} off ${JSON.stringify(text)}`);

/** Reports each pair of classes with equal labels once. */
export function reportEqualLabels(io: CliIo): (first: string, second: string) => void {
  const reported = new Set<string>();
  return (first, second) => {
    const [one, other] = [first, second].map((label) => JSON.stringify(label));
    const equal =
      first === second ? `two classes have the label ${one}` : `the labels ${one} and ${other} are equal to the model`;
    const line = `${equal}: it cannot tell these classes apart, which counts against it`;
    if (!reported.has(line)) io.err(line);
    reported.add(line);
  };
}
