import { Command } from "@commander-js/extra-typings";
import { printable } from "../../../core/printable.ts";
import { type NamedImages } from "../../../learning/evaluate/class-names.ts";
import { type KnownSet, knownSets, metricNames, publishedScore } from "../../../learning/evaluate/known-sets.ts";
import { evaluateZeroShot, type ZeroShotScores } from "../../../learning/evaluate/zero-shot.ts";
import { modelName } from "../../../model/hub/cache.ts";
import { type ClipModel } from "../../../model/zero-shot/clip.ts";
import { namesOf } from "../../../model/zero-shot/prompts.ts";
import { addEvaluationOptions, evaluate, type Measured } from "../evaluation.ts";
import type { CliIo } from "../io.ts";
import { addTemplateOptions, labelsFileOption, reportCut, reportEqualLabels } from "../label-options.ts";
import { examples, htmlOption, imagesOption, truncateOption } from "../options.ts";
import { percentCell, table } from "../terminal.ts";
import { readZeroShotData } from "../zeroshot-data.ts";
import { shownModel } from "../zeroshot-page.ts";

const printedConfusions = 5;

export const evalZeroShotCommand = (io: CliIo) =>
  addEvaluationOptions(
    addTemplateOptions(
      new Command("zeroshot")
        .summary("classify labelled images zero-shot, and count the right answers")
        .description(
          "Classifies images by the labels of their classes, without training, and counts the right answers. The data is a folder " +
            "with one folder per class, or a .csv, .tsv or .jsonl with the columns image (or path, filepath) and label; an image " +
            "of several classes has several rows. Folder names are labels, with _ read as a space.\n\n" +
            "--labels-file gives other labels: one line per class of the data in their order, or by number (from 0) if the data has " +
            "numbers, or lines of class, tab, label. Several labels of a class, separated by |, are averaged.\n\n" +
            "--dataset takes a published data set with its labels and templates, and downloads its images unless you give your own " +
            `copy as the argument. Data sets: ${knownSets.map(({ name }) => name).join(", ")}.\n\n` +
            "Ties count against the model. mAP is VOC2007's 11-point average precision, averaged over the classes; ROC AUC is " +
            "for two classes; ECE is the expected calibration error, the gap between confidence and accuracy.",
        )
        .argument("[data]", "labelled images; with --dataset, your own copy of its images")
        .option("--dataset <set>", "a published data set: a name, or a folder or an address in CLIP_benchmark's layout")
        .addOption(imagesOption)
        .addOption(labelsFileOption),
    )
      .option("--only <file>", "evaluate only these classes of the data, one per line")
      .option("--videos", "treat images in one folder as frames of one video, and average their probabilities")
      .addOption(truncateOption)
      .addOption(htmlOption),
  )
    .addHelpText(
      "after",
      examples(
        'clip-ts eval zeroshot clothing/test --template "a photo of a {}" --html clothing.html',
        "clip-ts eval zeroshot labels.tsv --model ViT-B/32 --model ViT-B/16 --json",
        "clip-ts eval zeroshot imagenet/val --dataset imagenet --model ViT-B/32",
        "clip-ts eval zeroshot --dataset fer2013 --model ViT-B/32",
      ),
    )
    .action(async (data, { videos = false, truncate, maxImagePixels, ...options }) => {
      const source = await readZeroShotData({ ...options, data }, io);
      const { name, images, skipped, templates, known } = source;
      const onEqualLabels = reportEqualLabels(io);
      const evaluation = {
        ...{ templates, videos, maxImagePixels, signal: io.signal, onEqualLabels },
        ...(truncate && { onTruncate: reportCut(io) }),
      };
      await evaluate(
        options,
        {
          ...{ data: data ?? options.dataset!, skipped },
          async measure(clip, onProgress) {
            reportUnknownWords(clip, images, io);
            return evaluateZeroShot(clip, images, { ...evaluation, onProgress });
          },
          columns: [
            ["images", ({ count }) => String(count)],
            ["top-1", ({ top1 }) => percentCell(top1)],
            ["top-5", ({ top5 }) => percentCell(top5)],
            ["per class", ({ meanPerClass }) => percentCell(meanPerClass)],
            ["mAP", ({ meanAveragePrecision11 }) => percentCell(meanAveragePrecision11)],
            ["ROC AUC", ({ rocAuc }) => percentCell(rocAuc)],
            ["ECE", ({ calibration }) => percentCell(calibration.error)],
          ],
          notes: (measured) => [
            ...measured.flatMap(describeConfusions),
            ...(known ? describePublished(known, measured) : []),
          ],
          fields: (model) => ({ templates, published: known && publishedScore(known, model) }),
          async page(measured) {
            const { zeroShotPage } = await import("../../report/zero-shot-page.ts");
            const models = await Promise.all(measured.map((of) => shownModel(of, images.samples, known)));
            return zeroShotPage({ ...source, data: name, videos, models });
          },
        },
        io,
      );
    });

function reportUnknownWords(clip: ClipModel, { classes }: NamedImages, io: CliIo): void {
  const labels = classes.flatMap(namesOf);
  const unknown = labels.filter((label) => clip.unknownWords(label).length > 0);
  if (unknown.length === 0) return;
  const shown = unknown.slice(0, 5).map((label) => JSON.stringify(label));
  const more = unknown.length > shown.length ? ", …" : "";
  io.err(
    `${unknown.length} of ${labels.length} labels have words that ${modelName(clip.path)} was not trained on: ` +
      `${shown.join(", ")}${more}`,
  );
}

function describeConfusions({ model, scores }: Measured<ZeroShotScores>): string[] {
  const pairs = scores.confusions.slice(0, printedConfusions);
  if (pairs.length === 0) return [];
  return [
    `\nmost frequent mistakes of ${printable(model)}`,
    ...pairs.map(
      ({ truth, predicted, count }) => `${String(count).padStart(6)} × ${printable(truth)} as ${printable(predicted)}`,
    ),
  ];
}

/** Published scores of the same models. */
function describePublished(set: KnownSet, measured: readonly Measured<ZeroShotScores>[]): string[] {
  const rows = measured.map(({ model, scores }) => {
    const { paper, released } = publishedScore(set, model);
    return [printable(model), percentCell(scores[set.metric]), percentCell(paper), percentCell(released)];
  });
  const { count } = measured[0]!.scores;
  return [
    `\n${set.name}, ${metricNames[set.metric]}, the paper's metric`,
    table(["model", "here", "paper", "released weights"], rows),
    ...(count === set.images ? [] : [`The paper used ${set.images} images; these are ${count}.`]),
  ];
}
