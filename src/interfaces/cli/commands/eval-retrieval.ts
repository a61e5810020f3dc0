import { Command, Option } from "@commander-js/extra-typings";
import { readCaptionTable } from "../../../inputs/data/captioned-images.ts";
import type { Sample } from "../../../inputs/data/sources/samples.ts";
import { readPairs } from "../../../inputs/data/pairs.ts";
import { isSeparated } from "../../../inputs/data/table.ts";
import { evaluateRetrieval, type RetrievalScores } from "../../../learning/evaluate/retrieval.ts";
import { addEvaluationOptions, evaluate, type Measured } from "../evaluation.ts";
import type { CliIo } from "../io.ts";
import { addTableOptions, examples, htmlOption, separatorOption } from "../options.ts";
import { thumbnails } from "../output.ts";
import { percentCell } from "../terminal.ts";

/** Longer side of each image on the page, in pixels. */
const shownSize = 160;

export const evalRetrievalCommand = (io: CliIo) =>
  addEvaluationOptions(
    addTableOptions(
      new Command("retrieval")
        .summary("find images by captions, and captions by images")
        .description(
          "Searches all images for each caption, and all captions for each image. R@k is the share of searches with a right answer " +
            "among the first k. The data is a folder with captions beside the images (a.jpg and a.txt, one caption per line), " +
            "shards of such files, or a .csv, .tsv or .jsonl; rows of the same image are joined.\n\n" +
            "Ties count against the model. Captions that are too long for the model are cut, as is usual.",
        )
        .argument("<data>", "images with captions")
        .addOption(
          new Option("--prefix <text>", 'put this before each caption, such as the paper\'s "a photo of "').default(""),
        ),
    )
      .addOption(separatorOption)
      .addOption(htmlOption),
  )
    .addHelpText(
      "after",
      examples(
        "clip-ts eval retrieval photos --model ViT-B/32 --html photos.html",
        'clip-ts eval retrieval captions.tsv --caption-column captions --separator "|" --images photos',
      ),
    )
    .action(async (data, { prefix, imageColumn, captionColumn, separator, images, maxImagePixels, ...options }) => {
      const columns = { imageColumn, captionColumn, images };
      const { samples, skipped } = isSeparated(data)
        ? await readCaptionTable(data, { ...columns, separator })
        : await readPairs(data, { ...columns, signal: io.signal });
      const { signal } = io;
      await evaluate(
        options,
        {
          ...{ data, skipped },
          measure: (clip, onProgress) =>
            evaluateRetrieval(clip, samples, { prefix, maxImagePixels, signal, onProgress }),
          columns: [
            ["images", (scores) => String(scores.images)],
            ["captions", ({ captions }) => String(captions)],
            ["image R@1", ({ imageRetrieval }) => percentCell(imageRetrieval.r1)],
            ["R@5", ({ imageRetrieval }) => percentCell(imageRetrieval.r5)],
            ["R@10", ({ imageRetrieval }) => percentCell(imageRetrieval.r10)],
            ["text R@1", ({ textRetrieval }) => percentCell(textRetrieval.r1)],
            ["R@5", ({ textRetrieval }) => percentCell(textRetrieval.r5)],
            ["R@10", ({ textRetrieval }) => percentCell(textRetrieval.r10)],
          ],
          fields: () => ({ prefix }),
          page: (measured) => pageOf(measured, samples, { data, prefix }),
        },
        io,
      );
    });

async function pageOf(
  measured: readonly Measured<RetrievalScores>[],
  samples: readonly Sample[],
  source: { readonly data: string; readonly prefix: string },
): Promise<string> {
  const { retrievalPage } = await import("../../report/retrieval-page.ts");
  const models = await Promise.all(
    measured.map(async ({ model, scores }) => {
      const queries = [...scores.hardImages, ...scores.hardCaptions].map(({ image }) => image);
      const found = scores.hardCaptions.flatMap((caption) => caption.found);
      return { model, scores, images: await thumbnails([...queries, ...found], samples, shownSize) };
    }),
  );
  return retrievalPage({ ...source, models });
}
