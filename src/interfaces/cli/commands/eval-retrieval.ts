import { Command } from "@commander-js/extra-typings";
import { printable } from "../../../core/printable.ts";
import { readCaptionTable } from "../../../inputs/data/captioned-images.ts";
import type { Pairs } from "../../../inputs/data/sources/samples.ts";
import { evaluateRetrieval, type RetrievalScores } from "../../../learning/evaluate/retrieval.ts";
import { isSeparated } from "../../../inputs/data/table.ts";
import { readPairs } from "../../../inputs/data/pairs.ts";
import {
  describeCut,
  type Measured,
  measureModels,
  modelsOption,
  progressOf,
  reportOption,
  showSkipped,
  withBroken,
  thumbnails,
  writeReport,
} from "../eval-options.ts";
import type { CliIo } from "../io.ts";
import {
  activationOption,
  captionColumnOption,
  configOption,
  examples,
  imageColumnOption,
  imageSizeOption,
  imagesOption,
  loraOption,
  maxImagePixelsOption,
  offlineOption,
} from "../options.ts";
import { percent, table } from "../terminal.ts";

/** The longer side of each image on the page, in pixels. */
const shownSize = 160;

/** Finds images by captions and captions by images, and counts. */
export const evalRetrievalCommand = (io: CliIo) =>
  new Command("retrieval")
    .summary("how often the right image is found by a caption, and the other way round")
    .description(
      "Each caption asks for its image among all, and each image for one of its captions among all; R@k is the share " +
        "whose answer is among the first k. The data are a folder with captions beside the images (a.jpg and a.txt, a " +
        "caption a line), shards of such files, a .csv or .tsv, whose rows of one image belong together, or .jsonl.\n\n" +
        "Ties count against the model; captions with more tokens than it reads are cut, as is usual.",
    )
    .requiredOption("--data <source>", "the images and their captions")
    .addOption(modelsOption())
    .option("--prefix <text>", 'what captions are put behind, as the paper\'s "a photo of " (default: nothing)')
    .addOption(imageColumnOption)
    .addOption(captionColumnOption)
    .option("--separator <text>", "what stands between several captions of a row (default: a row has one)")
    .addOption(imagesOption)
    .addOption(reportOption())
    .option("--json", "print one JSON document")
    .addOption(configOption)
    .addOption(activationOption)
    .addOption(offlineOption)
    .addOption(loraOption)
    .addOption(imageSizeOption)
    .addOption(maxImagePixelsOption)
    .addHelpText(
      "after",
      examples(
        "clip-ts eval retrieval --data photos --model ViT-B/32 --report photos.html",
        'clip-ts eval retrieval --data captions.tsv --caption-column captions --separator "|" --images photos',
      ),
    )
    .action(async ({ data, prefix = "", imageColumn, captionColumn, separator, images, report, json, ...options }) => {
      const columns = { imageColumn, captionColumn, images };
      const read: Pairs = isSeparated(data)
        ? await readCaptionTable(data, { ...columns, separator })
        : await readPairs(data, { ...columns, signal: io.signal });
      const { samples: captioned, skipped } = read;
      showSkipped(skipped, io);
      const { maxImagePixels } = options;
      const measured = await measureModels(options, io, (clip, model) => {
        const onProgress = progressOf(model, "images and captions", io);
        return evaluateRetrieval(clip, captioned, { prefix, maxImagePixels, signal: io.signal, onProgress });
      });
      const leftOut = withBroken(skipped, measured, io);
      for (const { model, scores } of measured) if (scores.cut > 0) io.err(describeCut(scores.cut, model));
      const document = {
        data,
        prefix,
        skipped: leftOut,
        models: measured.map(({ model, scores }) => ({ model, ...scores })),
      };
      if (json) io.out(JSON.stringify(document, null, 2));
      else print(measured, io);
      if (report === undefined) return;
      const { retrievalPage } = await import("../../report/retrieval-page.ts");
      const models = await Promise.all(
        measured.map(async ({ model, scores }) => {
          const queries = [...scores.hardImages, ...scores.hardCaptions].map(({ image }) => image);
          const found = scores.hardCaptions.flatMap((caption) => caption.found);
          return { model, scores, images: await thumbnails([...queries, ...found], captioned, shownSize) };
        }),
      );
      await writeReport(report, retrievalPage({ data, prefix, models }), document, io);
    });

function print(measured: readonly Measured<RetrievalScores>[], io: CliIo): void {
  const head = ["model", "images", "captions", "image R@1", "R@5", "R@10", "text R@1", "R@5", "R@10"];
  const rows = measured.map(({ model, scores: { images, captions, imageRetrieval, textRetrieval } }) => [
    ...[printable(model), String(images), String(captions)],
    ...[imageRetrieval, textRetrieval].flatMap(({ r1, r5, r10 }) => [r1, r5, r10].map(percent)),
  ]);
  io.out(table(head, rows));
}
