import { Command } from "@commander-js/extra-typings";
import { z } from "zod";
import { ClipError } from "../../../core/errors.ts";
import { parseStrict } from "../../../core/parse.ts";
import { splitLines } from "../../../core/text-file.ts";
import { readTokenizer } from "../../../model/pretrained/model-folder.ts";
import { ClipTokenizer } from "../../../inputs/text/tokenizer.ts";
import type { CliIo } from "../io.ts";
import { activationOption, configOption, examples, offlineOption, modelOption, readNamedModel } from "../options.ts";
import { assertShort } from "../text-files.ts";

/** Turns texts into ids. */
export const tokenizeCommand = (io: CliIo) =>
  new Command("tokenize")
    .summary("turn texts into ids")
    .description(
      "Reads texts from the standard input, one a line, and prints their ids, both marks included, without padding and " +
        "of any length; with the published CLIP vocabulary unless a model is named.",
    )
    .option("--json", "read a JSON array of texts, and print a JSON array of arrays of ids")
    .addOption(modelOption("the published vocabulary"))
    .addOption(configOption)
    .addOption(activationOption)
    .addOption(offlineOption)
    .addHelpText(
      "after",
      examples('echo "a photo of a cat" | clip-ts tokenize', `echo '["a cat", "a dog"]' | clip-ts tokenize --json`),
    )
    .action(async ({ json, ...options }) => {
      const model = await readNamedModel(options, io);
      const tokenizer = model ? await readTokenizer(model) : await ClipTokenizer.published();
      const input = await io.readInput();
      const texts = json ? parseTexts(input) : splitLines(input);
      // The end of the last line begins no other.
      if (!json && texts.at(-1) === "") texts.pop();
      assertShort(texts, "the standard input", json ? "text" : "line");
      const ids = texts.map((text) => tokenizer.encodeWithSpecialTokens(text));
      if (json) io.out(JSON.stringify(ids));
      else for (const row of ids) io.out(row.join(" "));
    });

function parseTexts(input: string): string[] {
  try {
    return parseStrict(z.array(z.string()), JSON.parse(input), "the standard input");
  } catch (cause) {
    if (cause instanceof ClipError) throw cause;
    const wayOut = 'with --json it must be an array of texts, as in ["a cat", "a dog"]';
    throw new ClipError("CLIP_DATA", `the standard input is no JSON (${(cause as Error).message}); ${wayOut}`, {
      cause,
    });
  }
}
