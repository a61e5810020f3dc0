import { ClipError } from "../../core/errors.ts";
import { checkKind, listOf, text } from "../../core/options.ts";

const header = "#version: 0.2";

/** Merges as a text file: a line with the version, then one merge a line, in order of rank. */
export function formatMerges(merges: readonly string[]): string {
  checkKind("formatMerges: the merges", merges, listOf(text));
  return [header, ...merges, ""].join("\n");
}

/**
 * The merges of a text file as {@link formatMerges} writes it, and as `merges.txt` of Hugging Face is.
 * That each merge makes sense is checked where they are used, by the tokenizer.
 *
 * @throws {ClipError} `CLIP_TEXT` if the first line is not the version, or a line is not two tokens.
 */
export function parseMerges(file: string): string[] {
  checkKind("parseMerges: the file", file, { ...text, wanted: "the text of a file" });
  const [first = "", ...lines] = file.split(/\r?\n/);
  if (!first.startsWith("#version")) {
    throw new ClipError(
      "CLIP_TEXT",
      `a file of merges begins with the line "${header}", this one with ${JSON.stringify(first.slice(0, 80))}`,
    );
  }
  if (lines.at(-1) === "") lines.pop();
  const wrong = lines.findIndex((line) => !/^[^ ]+ [^ ]+$/.test(line));
  if (wrong >= 0) {
    const line = JSON.stringify(lines[wrong]!.slice(0, 80));
    throw new ClipError(
      "CLIP_TEXT",
      `line ${wrong + 2} of the merges is ${line}; it should be two tokens with a blank between`,
    );
  }
  return lines;
}
