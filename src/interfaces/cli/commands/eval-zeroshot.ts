import { Command, Option } from "@commander-js/extra-typings";
import { printable } from "../../../core/printable.ts";
import { type ZeroShotAnswer, evaluateZeroShot, type ZeroShotScores } from "../../../learning/evaluate/zero-shot.ts";
import { type KnownSet, knownSets, metricNames, publishedScore } from "../../../learning/evaluate/known-sets.ts";
import { type NamedImages } from "../../../learning/evaluate/class-names.ts";
import { modelName } from "../../../model/hub/cache.ts";
import { type ClipModel } from "../../../model/zero-shot/clip.ts";
import { namesOf } from "../../../model/zero-shot/prompts.ts";
import {
  type Measured,
  measureModels,
  modelsOption,
  progressOf,
  reportOption,
  withBroken,
  thumbnails,
  writeReport,
} from "../eval-options.ts";
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
  repeatedTemplate,
} from "../options.ts";
import { percent, table } from "../terminal.ts";
import { readZeroShotData } from "../zeroshot-data.ts";

/** Mistakes on the page, and the longer side of each image in pixels. */
const shownMistakes = 24;
const shownSize = 160;
/** Confusions on the page, and the images of each. */
const shownConfusions = 8;
const imagesOfConfusion = 4;
/** Confusions in the terminal. */
const printedConfusions = 5;

/** Names labelled images zero-shot, and counts. */
export const evalZeroShotCommand = (io: CliIo) =>
  new Command("zeroshot")
    .summary("how many labelled images are given their right name")
    .description(
      "Names images of known classes by the classes' names, without training, and counts what is right. The data are a folder " +
        "with a folder for each class, or a .csv, .tsv or .jsonl with the columns image (or path, filepath; relative to the file) " +
        "and label; an image with several classes has several rows. Or they are a published set, with its names and templates.\n\n" +
        "Ties count against the model. mAP is VOC2007's 11-point average precision, mean over the classes; ROC AUC is given of " +
        "two classes; ECE is the expected calibration error, how far confidence and accuracy are apart.",
    )
    .argument(
      "[copy]",
      "with --dataset: your own copy of its images, as --data takes them; without it, they are fetched",
    )
    .option("--data <source>", "the images and their classes")
    .addOption(imagesOption)
    .option(
      "--dataset <set>",
      "a published set in their place: a folder or an address in the layout of CLIP_benchmark, or one of the paper's: " +
        knownSets.map(({ name }) => name).join(", "),
    )
    .addOption(modelsOption())
    .option(
      "--classes <file>",
      "names of the classes, one a line: those that the data have, or by number where the data have numbers (counted from 0), or in " +
        "the order of the data's classes; or each behind the data's own and a tab. Several names of a class, separated by |, are " +
        "averaged (default: those of the set; of --data its own, _ as a blank)",
    )
    .option("--templates <file>", "what to put the names into, one a line, at {} or {c} (default: those of the set)")
    .addOption(
      new Option(
        "--template <sentence>",
        'the same on the command line; may be repeated (default of --data: "{}", "a photo of a {}", …)',
      )
        .argParser(repeatedTemplate)
        .conflicts("templates"),
    )
    .option("--only <file>", "only these of the data's classes, one a line, as images and as answers")
    .option("--clips", "images in one folder are frames of one clip: probabilities are averaged over them")
    .option("--truncate", "cut names that have more tokens than the model reads, and say what was cut")
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
        'clip-ts eval zeroshot --data clothing/test --template "a photo of a {}" --report clothing.html',
        "clip-ts eval zeroshot --data labels.tsv --model ViT-B/32 --model ViT-B/16 --json",
        "clip-ts eval zeroshot --dataset imagenet imagenet/val --model ViT-B/32",
        "clip-ts eval zeroshot --dataset fer2013 --model ViT-B/32 --model ViT-B/16",
      ),
    )
    .action(async (copy, { clips, truncate, report, json, only, ...options }) => {
      const { source, images: labelled, templates, ...from } = await readZeroShotData({ ...options, copy, only }, io);
      const { known } = from;
      const { signal } = io;
      const { maxImagePixels } = options;
      const onTruncate = (text: string, dropped: string) =>
        io.err(`cut ${JSON.stringify(dropped)} off ${JSON.stringify(text)}`);
      const onEqualLabels = sayEqualNames(io);
      const evaluation = { templates, clips, maxImagePixels, signal, onEqualLabels, ...(truncate && { onTruncate }) };
      const measured = await measureModels(options, io, async (clip, model) => {
        warnOfUnknownWords(clip, labelled, io);
        const onProgress = progressOf(model, "images", io);
        return evaluateZeroShot(clip, labelled, { ...evaluation, onProgress });
      });
      const skipped = withBroken(from.skipped ?? [], measured, io);
      const said = {
        ...{ data: source, metric: known?.metric ?? null, only: only ?? null },
        ...{ classes: from.namesFrom ?? null, templatesFile: from.templatesFrom ?? null, templates },
        skipped,
      };
      const full = measured.map(({ model, scores }) => ({
        ...{ model, published: known && publishedScore(known, model) },
        ...scores,
      }));
      const documents = full.map((scores) => ({ ...scores, answers: undefined }));
      if (json) io.out(JSON.stringify({ ...said, models: documents }, null, 2));
      else {
        print(measured, io);
        if (known) printPublished(known, measured, io);
      }
      if (report === undefined) return;
      const { zeroShotPage } = await import("../../report/zero-shot-page.ts");
      const models = await Promise.all(
        measured.map(async ({ model, scores }) => {
          const mistakes = worstMistakes(scores.answers);
          const confusions = scores.confusions.slice(0, shownConfusions).map((pair) => ({
            ...pair,
            images: examplesOfConfusion(scores.answers, pair),
          }));
          const shown = [...mistakes.map(({ image }) => image), ...confusions.flatMap(({ images }) => images)];
          const published = known && publishedScore(known, model);
          return {
            model,
            scores,
            mistakes,
            confusions,
            published,
            images: await thumbnails(shown, labelled.samples, shownSize),
          };
        }),
      );
      const page = zeroShotPage({
        ...{ data: source, classNames: from.namesFrom, templates, templatesFile: from.templatesFrom },
        ...{ clips: !!clips, models },
      });
      await writeReport(report, page, { ...said, models: full }, io);
    });

/** Says of each pair of classes, once for all models, that their names are the same. */
function sayEqualNames(io: CliIo): (first: string, second: string) => void {
  const said = new Set<string>();
  return (first, second) => {
    const [one, other] = [first, second].map((name) => JSON.stringify(name));
    const what =
      first === second ? `two classes are called ${one}` : `the classes ${one} and ${other} are called the same`;
    const line = `${what}: as far as their names agree they cannot be told apart, and count against the model`;
    if (!said.has(line)) io.err(line);
    said.add(line);
  };
}

function warnOfUnknownWords(clip: ClipModel, { classes }: NamedImages, io: CliIo): void {
  const names = classes.flatMap(namesOf);
  const unknown = names.filter((name) => clip.unknownWords(name).length > 0);
  if (unknown.length === 0) return;
  const shown = unknown.slice(0, 5).map((name) => JSON.stringify(name));
  const more = unknown.length > shown.length ? ", …" : "";
  io.err(
    `${unknown.length} of ${names.length} names have words that ${modelName(clip.path)} was not trained on: ` +
      `${shown.join(", ")}${more}`,
  );
}

function print(measured: readonly Measured<ZeroShotScores>[], io: CliIo): void {
  const head = ["model", "images", "top-1", "top-5", "per class", "mAP", "ROC AUC", "ECE"];
  const rows = measured.map(({ model, scores }) => [
    ...[
      printable(model),
      String(scores.count),
      percent(scores.top1),
      percent(scores.top5),
      percent(scores.meanPerClass),
    ],
    ...[percent(scores.meanAveragePrecision11), percent(scores.rocAuc), percent(scores.calibration.error)],
  ]);
  io.out(table(head, rows));
  for (const { model, scores } of measured) {
    const pairs = scores.confusions.slice(0, printedConfusions);
    if (pairs.length === 0) continue;
    io.out(`\n${printable(model)} takes most often`);
    for (const { truth, predicted, count } of pairs)
      io.out(`${String(count).padStart(6)} × ${printable(truth)} for ${printable(predicted)}`);
  }
}

/** What was measured beside what others have published of the same model. */
function printPublished(set: KnownSet, measured: readonly Measured<ZeroShotScores>[], io: CliIo): void {
  const known = (percentage: number | undefined) => percent(percentage === undefined ? undefined : percentage / 100);
  const rows = measured.map(({ model, scores }) => {
    const { paper, released } = publishedScore(set, model);
    return [printable(model), percent(scores[set.metric]), known(paper), known(released)];
  });
  io.out(`\n${set.name}, ${metricNames[set.metric]} as the paper counts it`);
  io.out(table(["model", "here", "paper", "released weights"], rows));
  const { count } = measured[0]!.scores;
  if (count !== set.images) io.out(`The paper's figure is of ${set.images} images; these are ${count}.`);
}

/** The mistakes that the model was surest of. */
function worstMistakes(answers: readonly ZeroShotAnswer[]): ZeroShotAnswer[] {
  const surety = ({ ranked, truthProbability }: ZeroShotAnswer) => ranked[0]!.probability - truthProbability;
  return answers
    .filter(({ rank }) => rank > 0)
    .sort((a, b) => surety(b) - surety(a))
    .slice(0, shownMistakes);
}

function examplesOfConfusion(
  answers: readonly ZeroShotAnswer[],
  { truth, predicted }: { readonly truth: string; readonly predicted: string },
): string[] {
  return answers
    .filter(({ rank, truths, ranked }) => rank > 0 && truths[0] === truth && ranked[0]!.label === predicted)
    .slice(0, imagesOfConfusion)
    .map(({ image }) => image);
}
