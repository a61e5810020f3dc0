import { Command } from "@commander-js/extra-typings";
import { splitLines } from "../../../core/text-file.ts";
import { ClipTokenizer } from "../../../inputs/text/tokenizer.ts";
import { readTokenizer } from "../../../model/pretrained/model-folder.ts";
import type { CliIo } from "../io.ts";
import { addModelFilesOptions, hasModel, readChosenModel } from "../model-options.ts";
import { examples, jsonOption } from "../options.ts";
import { printJson } from "../output.ts";
import { assertShort } from "../text-files.ts";

/** It has no tower options (`--lora`, `--image-size`, `--dtype`, `--device`): it reads a vocabulary and runs nothing. */
export const tokenizeCommand = (io: CliIo) =>
  addModelFilesOptions("CLIP's published vocabulary")(
    new Command("tokenize")
      .summary("convert texts to input ids")
      .description(
        "Prints the input ids of each text, with special tokens, without padding or truncation. Without arguments it reads " +
          "texts from the standard input, one per line.",
      )
      .argument("[text...]", "the texts"),
  )
    .addOption(jsonOption)
    .addHelpText(
      "after",
      examples('clip-ts tokenize "a photo of a cat"', "clip-ts tokenize --json --model ViT-B/32 < captions.txt"),
    )
    .action(async (args, { json, ...options }) => {
      const tokenizer = hasModel(options)
        ? await readTokenizer(await readChosenModel(options, io))
        : await ClipTokenizer.published();
      const texts = args.length > 0 ? args : await readTexts(io);
      const results = texts.map((text) => ({ text, inputIds: tokenizer.encodeWithSpecialTokens(text) }));
      if (json) return printJson({ model: options.model, data: args.length > 0 ? args : "-", results }, io);
      for (const { inputIds } of results) io.out(inputIds.join(" "));
    });

async function readTexts(io: CliIo): Promise<string[]> {
  const texts = splitLines(await io.readInput());
  // The end of the last line does not start another.
  if (texts.at(-1) === "") texts.pop();
  assertShort(texts, "the standard input");
  return texts;
}
