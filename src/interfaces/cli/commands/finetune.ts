import { basename, extname, join } from "node:path";
import { Command, InvalidArgumentError, Option } from "@commander-js/extra-typings";
import { ClipError } from "../../../core/errors.ts";
import type { CliIo } from "../io.ts";
import {
  captionColumnOption,
  examples,
  imageColumnOption,
  imagesOption,
  lineToResume,
  maxImagePixelsOption,
  modelOption,
  offlineOption,
  repeatedTemplate,
  wholeNumber,
} from "../options.ts";

/** Fine-tunes a model on pairs of one's own, and takes care that it stays good at the rest. */
export const finetuneCommand = (io: CliIo) =>
  new Command("finetune")
    .summary("fine-tune a model on your images without ruining it")
    .description(
      "Trains a model on your images, then measures blends of its old and new weights (WiSE-FT) on validation images and on a " +
        "general set, and keeps the best that has not become worse at the rest. How it trains follows from how much there is to " +
        "learn from, is printed with the reasons, and can be set otherwise. The data are a folder whose folders are classes, a " +
        "folder with captions beside the images, a .csv, .tsv, .jsonl or .parquet, or webdataset shards.\n\n" +
        "Ctrl-C stops with a checkpoint, and --resume goes on. With the folder of a finished run and --alpha another blend is put " +
        "into its model/, without training again.",
    )
    .argument("[run]", "the folder of a finished run, for --alpha")
    .option("--data <source>", "what to learn")
    .addOption(modelOption())
    .option(
      "--validation <source>",
      "what blends are chosen by (default: a fifth of the data, which is then not trained on)",
    )
    .option(
      "--general <source>",
      "images of other things, on which the model is to stay good (default: none; then only your images are measured)",
    )
    .option("--max-loss <points>", "how many points of the general set's top-1 may be lost", points, 1)
    .option("--alpha <number>", "keep this blend: from 0, the model as it was, to 1, the tuned one", share)
    .option("--out <folder>", "where the run writes (default: runs/ and the data's name)")
    .option("--resume", "go on from the folder's last checkpoint")
    .option(
      "--template <sentence>",
      'what names of class folders are put into, at {}; may be repeated (default: "{}", "a photo of a {}", …)',
      repeatedTemplate,
    )
    .addOption(imageColumnOption)
    .addOption(imagesOption)
    .addOption(captionColumnOption)
    .addOption(
      new Option("--recipe <size>", "the defaults for another size of data than there is").choices([
        "few",
        "some",
        "many",
      ] as const),
    )
    .option("--epochs <n>", "how often each pair is seen", wholeNumber(10_000))
    .option("--batch-size <n>", "pairs in a step", wholeNumber())
    .option("--learning-rate <rate>", "the highest rate", positive)
    .option("--seed <n>", "draws what is held out, and the order", wholeNumber())
    .option("--config <file>", "a JSON file with any other keys of a run, as docs/training.md has them")
    .addOption(maxImagePixelsOption)
    .addOption(offlineOption)
    .option("--json", "print the result as one JSON document")
    .addHelpText(
      "after",
      examples(
        "clip-ts finetune --data pets/train --model ViT-B/32 --general imagenet-sample",
        "clip-ts finetune --data shop.csv --validation shop-validation.csv --epochs 5 --out runs/shop",
        "clip-ts finetune runs/shop --alpha 0.3",
      ),
    )
    .action(async (run, { data, alpha, out, resume = false, json = false, ...options }, command) => {
      // Loaded when it is needed: the other commands start sooner.
      const { runFinetuning, runKeepAlpha } = await import("../finetune-run.ts");
      if (run !== undefined && data === undefined && alpha !== undefined) return runKeepAlpha(run, alpha, { json }, io);
      if (run !== undefined || data === undefined)
        throw new ClipError(
          "CLIP_USAGE",
          "name what to learn by --data, or the folder of a finished run with --alpha: clip-ts finetune runs/pets --alpha 0.3",
        );
      const named = join("runs", basename(data, extname(data)));
      // What nobody said must not stand above what the file of --config says.
      const isSaid = command.getOptionValueSource("maxImagePixels") !== "default";
      const maxImagePixels = isSaid ? options.maxImagePixels : undefined;
      const again = lineToResume(command);
      await runFinetuning({ ...options, data, alpha, out: out ?? named, resume, json, maxImagePixels, again }, io);
    });

function share(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value >= 0 && value <= 1) return value;
  throw new InvalidArgumentError("It must be a number from 0 to 1.");
}

function points(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value >= 0 && value <= 100) return value;
  throw new InvalidArgumentError("It must be a number from 0 to 100.");
}

function positive(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError("It must be a number above 0.");
}
