import { Command } from "@commander-js/extra-typings";
import { printable } from "../../../core/printable.ts";
import { evaluateCaptions, readCandidates } from "../../../learning/evaluate/captions.ts";
import { describeCut, measureModels, modelsOption, showSkipped, withBroken } from "../eval-options.ts";
import type { CliIo } from "../io.ts";
import {
  activationOption,
  configOption,
  examples,
  imageSizeOption,
  imagesOption,
  loraOption,
  maxImagePixelsOption,
  offlineOption,
} from "../options.ts";
import { table } from "../terminal.ts";

/** Judges captions of images. */
export const evalClipScoreCommand = (io: CliIo) =>
  new Command("clipscore")
    .summary("how well captions fit their images: CLIPScore and RefCLIPScore")
    .description(
      "Judges captions by the models (Hessel et al. 2021). The data are a .csv, .tsv or .jsonl with the columns image (or path, " +
        "filepath; relative to the file) and caption (or title); with a column of references RefCLIPScore is given too. " +
        "Published scores are of " +
        "ViT-B/32; those of other models cannot be compared with them.",
    )
    .requiredOption("--data <file>", "the table of captions")
    .addOption(modelsOption())
    .option("--reference-column <name>", "the column with what people say of the image")
    .option("--separator <text>", "what stands between several references", "|")
    .addOption(imagesOption)
    .option("--json", "print one JSON document, with the scores of each caption")
    .addOption(configOption)
    .addOption(activationOption)
    .addOption(offlineOption)
    .addOption(loraOption)
    .addOption(imageSizeOption)
    .addOption(maxImagePixelsOption)
    .addHelpText(
      "after",
      examples(
        "clip-ts eval clipscore --data captions.tsv --model ViT-B/32",
        "clip-ts eval clipscore --data captions.tsv --reference-column references --json",
      ),
    )
    .action(async ({ data, referenceColumn, separator, images, json, ...options }) => {
      const { candidates, skipped } = await readCandidates(data, { referenceColumn, separator, images });
      showSkipped(skipped, io);
      const { maxImagePixels } = options;
      const measured = await measureModels(options, io, (clip) =>
        evaluateCaptions(clip, candidates, { maxImagePixels, signal: io.signal }),
      );
      const leftOut = withBroken(skipped, measured, io);
      for (const { model, scores } of measured) if (scores.cut > 0) io.err(describeCut(scores.cut, model));
      if (json) {
        const models = measured.map(({ model, scores }) => ({ model, ...scores }));
        io.out(JSON.stringify({ data, skipped: leftOut, models }, null, 2));
        return;
      }
      const rows = measured.map(({ model, scores }) => [
        ...[printable(model), String(scores.count), scores.clipScore.toFixed(4)],
        scores.refClipScore?.toFixed(4) ?? "–",
      ]);
      io.out(table(["model", "captions", "CLIPScore", "RefCLIPScore"], rows));
    });
