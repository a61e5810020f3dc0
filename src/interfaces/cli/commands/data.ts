import { Command, Option } from "@commander-js/extra-typings";
import type { CliIo } from "../io.ts";
import {
  captionColumnOption,
  examples,
  imageColumnOption,
  imagesOption,
  maxImagePixelsOption,
  repeatedTemplate,
  wholeNumber,
} from "../options.ts";

/** Looks at training data, and packs them. */
export const dataCommand = (io: CliIo) =>
  new Command("data")
    .summary("look at training data, and pack them into shards")
    .description("Says what is in training data before a run does, and packs many small files into few large ones.")
    .addCommand(checkCommand(io))
    .addCommand(packCommand(io));

const source = "a folder, shards, or a table: all that a run's configuration takes for `train`";
const classTemplateOption = () =>
  new Option(
    "--class-template <sentence>",
    'folders are classes: a sentence with {} for the folder\'s name, as in "a photo of a {}"; may be repeated',
  ).argParser(repeatedTemplate);

const checkCommand = (io: CliIo) =>
  new Command("check")
    .summary("say what is in training data, and what is wrong with them")
    .description(
      "Reads every caption and decodes every image: sizes, what cannot be used and why, captions that several images share, " +
        "lengths of captions in tokens of the published vocabulary.",
    )
    .argument("<source>", source)
    .addOption(imageColumnOption)
    .addOption(imagesOption)
    .addOption(captionColumnOption)
    .addOption(classTemplateOption())
    .option("--context-length <n>", "tokens that the text tower reads, both marks included", wholeNumber(), 77)
    .addOption(maxImagePixelsOption)
    .option("--html <file>", "also write a page with curves and a contact sheet")
    .option("--json", "print the report as one JSON document")
    .addHelpText(
      "after",
      examples(
        "clip-ts data check pets --html pets.html",
        'clip-ts data check flowers --class-template "a photo of a {}, a flower"',
        "clip-ts data check photos.csv --caption-column text --json",
      ),
    )
    .action(async (path, { classTemplate: classTemplates, ...options }) => {
      // Loaded when it is needed: the other commands start sooner.
      const { reportData } = await import("../data-run.ts");
      await reportData({ ...options, source: path, classTemplates }, io);
    });

const packCommand = (io: CliIo) =>
  new Command("pack")
    .summary("write training data as webdataset shards")
    .description(
      "Writes images, as they are, and captions into tar archives: few large files, which are faster to copy and to read than many " +
        "small ones. The pairs are shuffled, so that each shard is a fair sample of all.",
    )
    .argument("<in>", source)
    .argument("<out>", "the folder for the shards")
    .addOption(imageColumnOption)
    .addOption(imagesOption)
    .addOption(captionColumnOption)
    .addOption(classTemplateOption())
    .option(
      "--synthetic-column <name>",
      "the column or key with synthetic captions, which are packed too (default: none are)",
    )
    .option("--shard-size <n>", "pairs in a shard", wholeNumber(), 10_000)
    .option("--json", "print what was written as one JSON document")
    .addHelpText("after", examples("clip-ts data pack photos.csv shards --shard-size 5000"))
    .action(async (path, out, { classTemplate: classTemplates, ...options }) => {
      const { packData } = await import("../data-run.ts");
      await packData({ ...options, source: path, out, classTemplates }, io);
    });
