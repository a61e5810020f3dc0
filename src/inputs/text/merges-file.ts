import { ClipError } from "../../core/errors.ts";
import { checkKind, listOf, text } from "../../core/options.ts";

const header = "#version: 0.2";

/** Formats merges as a text file: a version line, then one merge per line, in order of rank. */
export function formatMerges(merges: readonly string[]): string {
  checkKind("formatMerges: the merges", merges, listOf(text));
  return [header, ...merges, ""].join("\n");
}

/**
 * Parses a merges file, in the format of {@link formatMerges} and Hugging Face's `merges.txt`. The tokenizer validates
 * the merges.
 *
 * @throws {ClipError} `CLIP_TEXT` if the first line is not a version, or another line is not two tokens.
 */
export function parseMerges(file: string): string[] {
  checkKind("parseMerges: the file", file, { ...text, wanted: "the text of a file" });
  const [first = "", ...lines] = file.split(/\r?\n/);
  if (!first.startsWith("#version")) {
    throw new ClipError(
      "CLIP_TEXT",
      `a merges file begins with the line "${header}", but this one with ${JSON.stringify(first.slice(0, 80))}`,
    );
  }
  if (lines.at(-1) === "") lines.pop();
  const wrong = lines.findIndex((line) => !/^[^ ]+ [^ ]+$/.test(line));
  if (wrong >= 0) {
    const line = JSON.stringify(lines[wrong]!.slice(0, 80));
    throw new ClipError(
      "CLIP_TEXT",
      `line ${wrong + 2} of the merges is ${line}; it should be two tokens separated by a space`,
    );
  }
  return lines;
}
