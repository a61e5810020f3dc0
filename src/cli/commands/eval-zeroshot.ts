import { basename } from "node:path";
import { Command, Option } from "@commander-js/extra-typings";
import {
  type Answer,
  evaluateZeroShot,
  type LabelledPictures,
  nameClasses,
  onlyClasses,
  readLabelledPictures,
  type ZeroShotScores,
} from "../../evaluate/index.ts";
import { type ClipModel, defaultTemplates } from "../../zero-shot/index.ts";
import {
  type Measured,
  measureModels,
  modelsOption,
  progressOf,
  readLines,
  reportOption,
  thumbnails,
  writeReport,
} from "../eval-options.ts";
import type { CliIo } from "../io.ts";
import {
  activationOption,
  configOption,
  examples,
  imageSizeOption,
  loraOption,
  maxImagePixelsOption,
  offlineOption,
  repeated,
} from "../options.ts";
import { percent, printable, table } from "../terminal.ts";

/** Mistakes on the page, and the longer side of each picture in pixels. */
const shownMistakes = 24;
const shownSize = 160;
/** Confusions on the page, and the pictures of each. */
const shownConfusions = 8;
const picturesOfConfusion = 4;
/** Confusions in the terminal. */
const printedConfusions = 5;

/** Names labelled pictures zero-shot, and counts. */
export const evalZeroShotCommand = (io: CliIo) =>
  new Command("zeroshot")
    .summary("how many labelled pictures are given their right name")
    .description(
      "Names pictures of known classes by the classes' names, without training, and counts what is right. The data are a folder " +
        "with a folder for each class, or a .csv or .tsv with the columns image (a path relative to the file) and label; a " +
        "picture with several classes stands there several times.\n\n" +
        "Ties count against the model. mAP is VOC2007's 11-point average precision, mean over the classes; ROC AUC is given of " +
        "two classes; ECE is the expected calibration error, how far confidence and accuracy are apart.",
    )
    .requiredOption("--data <source>", "the pictures and their classes")
    .addOption(modelsOption())
    .option(
      "--classes <file>",
      "names of the classes, one a line, in the order of the data's classes (by number where these are numbers, counted " +
        "from 0), or each behind the data's own and a tab; as CLIP_benchmark's classnames.txt (default: the data's own, _ as a blank)",
    )
    .option(
      "--templates <file>",
      "what to put the names into, one a line, at {} or {c}; as CLIP_benchmark's zeroshot_classification_templates.txt",
    )
    .addOption(
      new Option(
        "--template <sentence>",
        'the same on the command line; may be repeated (default: "{}", "a photo of a {}", …)',
      )
        .argParser(repeated)
        .conflicts("templates"),
    )
    .option("--only <file>", "only these of the data's classes, one a line, as pictures and as answers")
    .option("--clips", "pictures in one folder are frames of one clip: probabilities are averaged over them")
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
        "clip-ts eval zeroshot --data imagenet/val --classes classnames.txt --templates zeroshot_classification_templates.txt",
      ),
    )
    .action(async ({ data, classes, templates: file, template, only, clips, truncate, report, json, ...options }) => {
      const pictures = await readPictures(data, { classes, only });
      const templates = file === undefined ? (template ?? defaultTemplates) : (await readLines(file)).map(ourTemplate);
      const { signal } = io;
      const { maxImagePixels } = options;
      const onTruncate = (text: string, dropped: string) =>
        io.err(`cut ${JSON.stringify(dropped)} off ${JSON.stringify(text)}`);
      const evaluation = { templates, clips, maxImagePixels, signal, ...(truncate && { onTruncate }) };
      warnOfEqualNames(pictures, io);
      const measured = await measureModels(options, io, async (clip, model) => {
        warnOfUnknownWords(clip, pictures.classes, io);
        const onProgress = progressOf(model, "pictures", io);
        return evaluateZeroShot(clip, pictures, { ...evaluation, onProgress });
      });
      for (const { image, reason } of measured[0]!.scores.broken) io.err(`left out: ${image}: ${reason}`);
      const said = { data, classes: classes ?? null, only: only ?? null, templatesFile: file ?? null, templates };
      const documents = measured.map(({ model, scores }) => ({ model, ...scores, answers: undefined }));
      if (json) io.out(JSON.stringify({ ...said, models: documents }, null, 2));
      else print(measured, io);
      if (report === undefined) return;
      const { zeroShotPage } = await import("../../report/index.ts");
      const models = await Promise.all(
        measured.map(async ({ model, scores }) => {
          const mistakes = worstMistakes(scores.answers);
          const confusions = scores.confusions.slice(0, shownConfusions).map((pair) => ({
            ...pair,
            images: examplesOfConfusion(scores.answers, pair),
          }));
          const shown = [...mistakes.map(({ image }) => image), ...confusions.flatMap(({ images }) => images)];
          return { model, scores, mistakes, confusions, pictures: await thumbnails(shown, shownSize) };
        }),
      );
      const page = zeroShotPage({ data, classNames: classes, templates, templatesFile: file, clips: !!clips, models });
      const full = measured.map(({ model, scores }) => ({ model, ...scores }));
      await writeReport(report, page, { ...said, models: full }, io);
    });

async function readPictures(
  data: string,
  { classes, only }: { readonly classes: string | undefined; readonly only: string | undefined },
): Promise<LabelledPictures> {
  const read = await readLabelledPictures(data);
  const named =
    classes === undefined
      ? { ...read, classes: read.classes.map((name) => name.replaceAll("_", " ")) }
      : nameClasses(read, await readLines(classes), classes);
  if (only === undefined) return named;
  // Numbered classes of a file of names are all there; they are chosen by their numbers.
  const own = named.classes.length === read.classes.length ? read.classes : named.classes.map((_, i) => String(i));
  const { classes: kept, samples } = onlyClasses({ classes: own, samples: named.samples }, await readLines(only), only);
  return { classes: kept.map((name) => named.classes[own.indexOf(name)]!), samples };
}

/** Other tools mark the place with a letter. */
const ourTemplate = (template: string) => template.replaceAll("{c}", "{}");

function warnOfEqualNames({ classes }: LabelledPictures, io: CliIo): void {
  const repeated = [...new Set(classes.filter((name, i) => classes.indexOf(name) !== i))];
  if (repeated.length > 0)
    io.err(`several classes are called ${repeated.join(", ")}: they cannot be told apart, and count against the model`);
}

function warnOfUnknownWords(clip: ClipModel, classes: readonly string[], io: CliIo): void {
  const unknown = classes.filter((name) => clip.unknownWords(name).length > 0);
  if (unknown.length === 0) return;
  const shown = unknown.slice(0, 5).map((name) => JSON.stringify(name));
  const more = unknown.length > shown.length ? ", …" : "";
  io.err(
    `${unknown.length} of ${classes.length} classes have words that ${basename(clip.path)} was not trained on: ` +
      `${shown.join(", ")}${more}`,
  );
}

function print(measured: readonly Measured<ZeroShotScores>[], io: CliIo): void {
  const head = ["model", "pictures", "top-1", "top-5", "per class", "mAP", "ROC AUC", "ECE"];
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

/** The mistakes that the model was surest of. */
function worstMistakes(answers: readonly Answer[]): Answer[] {
  const surety = ({ ranked, truthProbability }: Answer) => ranked[0]!.probability - truthProbability;
  return answers
    .filter(({ rank }) => rank > 0)
    .sort((a, b) => surety(b) - surety(a))
    .slice(0, shownMistakes);
}

function examplesOfConfusion(
  answers: readonly Answer[],
  { truth, predicted }: { readonly truth: string; readonly predicted: string },
): string[] {
  return answers
    .filter(({ rank, truths, ranked }) => rank > 0 && truths[0] === truth && ranked[0]!.label === predicted)
    .slice(0, picturesOfConfusion)
    .map(({ image }) => image);
}
