import { Command } from "@commander-js/extra-typings";
import { evaluateCaptions, readCandidates } from "../../../learning/evaluate/captions.ts";
import { addEvaluationOptions, evaluate } from "../evaluation.ts";
import type { CliIo } from "../io.ts";
import { examples, imagesOption, separatorOption } from "../options.ts";

export const evalClipScoreCommand = (io: CliIo) =>
  addEvaluationOptions(
    new Command("clipscore")
      .summary("score captions of images: CLIPScore and RefCLIPScore")
      .description(
        "Scores captions of images (Hessel et al. 2021). The data is a .csv, .tsv or .jsonl with the columns image (or path, " +
          "filepath) and caption (or title). With a column of reference captions RefCLIPScore is printed too; a column may hold " +
          "several, separated by | unless --separator changes that. Published scores are of ViT-B/32; scores of other models " +
          "cannot be compared with them.",
      )
      .argument("<data>", "the table of images and captions")
      .option("--reference-column <name>", "the column with reference captions, written by people")
      .addOption(separatorOption)
      .addOption(imagesOption),
  )
    .addHelpText(
      "after",
      examples(
        "clip-ts eval clipscore captions.tsv --model ViT-B/32",
        "clip-ts eval clipscore captions.tsv --reference-column references --json",
      ),
    )
    .action(async (data, { referenceColumn, separator, images, maxImagePixels, ...options }) => {
      const { candidates, skipped } = await readCandidates(data, { referenceColumn, separator, images });
      const evaluation = { maxImagePixels, signal: io.signal };
      const measure = (clip: Parameters<typeof evaluateCaptions>[0]) => evaluateCaptions(clip, candidates, evaluation);
      await evaluate(
        options,
        {
          ...{ data, skipped, measure },
          columns: [
            ["captions", ({ count }) => String(count)],
            ["CLIPScore", ({ clipScore }) => clipScore.toFixed(4)],
            ["RefCLIPScore", ({ refClipScore }) => refClipScore?.toFixed(4) ?? "–"],
          ],
        },
        io,
      );
    });
