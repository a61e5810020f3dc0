import { basename, extname, join } from "node:path";
import { Command, Option } from "@commander-js/extra-typings";
import { z } from "zod";
import type { SkippedImage } from "../../../inputs/data/image-files.ts";
import { writeFileAtomic } from "../../../core/atomic-write.ts";
import { ClipError } from "../../../core/errors.ts";
import { readJson } from "../../../core/parse.ts";
import { type FinetunePlan } from "../../../learning/finetune/finetune-plan.ts";
import { finetune, type FinetuneRecord, keepAlpha } from "../../../learning/finetune/finetune.ts";
import { finetuneFiles } from "../../../learning/finetune/weight-blends.ts";
import { readTrainConfig } from "../../../learning/train/config.ts";
import { runFiles } from "../../../learning/train/run-folder.ts";
import { defaultModel } from "../../../model/hub/known-models.ts";
import { finetunePage } from "../../report/finetune-page.ts";
import { counted } from "../../report/numbers.ts";
import type { CliIo } from "../io.ts";
import { addTemplateOptions, readTemplates } from "../label-options.ts";
import { imageSizeOption, locateModel, modelOption, offlineOption, showDownload } from "../model-options.ts";
import {
  addTableOptions,
  examples,
  jsonOption,
  lineToResume,
  maxImagePixelsOption,
  numberUpTo,
  type OptionsOf,
  outOption,
  positive,
  resumeOption,
  seedOption,
  validationOption,
  parseWholeNumber,
} from "../options.ts";
import { printJson } from "../output.ts";
import { percentCell, table } from "../terminal.ts";
import { announceStop, reportNewStart, reportSkipped, showStep, writeTrainReport } from "../train-run.ts";

/**
 * Training starts from the weights of a model folder or archive, so there is no `--config`, `--activation`, `--lora` and `--dtype`; it
 * runs on the CPU, so there is no `--device`.
 */
const command = () =>
  addTableOptions(
    addTemplateOptions(
      new Command("finetune")
        .summary("fine-tune a model on your images, and keep its other abilities")
        .description(
          "Trains a model on your images, measures blends of the old and new weights (WiSE-FT) on validation images and on a general " +
            "set, and keeps the best blend that has not become worse on the general set. Settings follow from the number of pairs, are " +
            "printed with reasons, and can be changed. The data is a folder with one folder per class, a folder with captions beside " +
            "the images, a .csv, .tsv, .jsonl or .parquet, or webdataset shards. Templates turn class folders into captions.\n\n" +
            "Ctrl-C stops with a checkpoint, and --resume continues. --run with --alpha puts another blend of a finished run into its " +
            "model/ without training.",
        )
        .argument("[data]", "images to train on")
        .option("--run <folder>", "a finished run, to blend again with --alpha")
        .addOption(modelOption())
        .addOption(offlineOption)
        .addOption(imageSizeOption)
        .addOption(validationOption("a fifth of each class of the data"))
        .option("--general <source>", "images of other things, which the model must not forget (default: none)")
        .option(
          "--max-loss <points>",
          "percentage points of the general set's top-1 that may be lost",
          numberUpTo(100),
          1,
        )
        .option("--alpha <number>", "keep this blend: 0 is the original model, 1 the tuned one", numberUpTo(1))
        .addOption(outOption("runs/ and the data's name"))
        .addOption(resumeOption),
    ),
  )
    .addOption(
      new Option("--recipe <size>", "defaults for this size of data (default: by the number of pairs)").choices([
        "few",
        "some",
        "many",
      ] as const),
    )
    .option("--epochs <n>", "passes over the data", parseWholeNumber(10_000))
    .option("--batch-size <n>", "pairs per step", parseWholeNumber())
    .option("--learning-rate <rate>", "peak learning rate", positive)
    .addOption(seedOption)
    .option("--settings <file>", "a JSON file with further keys of a training run; see docs/training.md")
    .addOption(maxImagePixelsOption)
    .addOption(jsonOption)
    .addHelpText(
      "after",
      examples(
        "clip-ts finetune pets/train --model ViT-B/32 --general imagenet-sample",
        "clip-ts finetune shop.csv --validation shop-validation.csv --epochs 5 --out runs/shop",
        "clip-ts finetune --run runs/shop --alpha 0.3",
      ),
    );

export const finetuneCommand = (io: CliIo) =>
  command().action(async (data, { run, ...options }, command) => {
    if (run !== undefined && data === undefined && options.alpha !== undefined)
      return blendAgain(run, options.alpha, options, io);
    if (run !== undefined || data === undefined)
      throw new ClipError(
        "CLIP_USAGE",
        "give the data to train on; or, to blend a finished run again, --run and --alpha: clip-ts finetune --run runs/pets --alpha 0.3",
      );
    const isGiven = command.getOptionValueSource("maxImagePixels") !== "default";
    const given = { ...options, maxImagePixels: isGiven ? options.maxImagePixels : undefined };
    const { out = join("runs", basename(data, extname(data))) } = options;
    await trainAndBlend(data, out, { ...given, resumeLine: lineToResume(command) }, io);
  });

interface FinetuneOptions extends Omit<OptionsOf<typeof command>, "maxImagePixels"> {
  /** Undefined if it was not given, so that it does not override the file of `--settings`. */
  readonly maxImagePixels: number | undefined;
  /** The command that continues the run. */
  readonly resumeLine: string;
}

async function trainAndBlend(data: string, out: string, options: FinetuneOptions, io: CliIo): Promise<void> {
  const { model = defaultModel, validation, resume = false } = options;
  const { general, recipe, epochs, alpha, imageColumn, captionColumn, images } = options;
  const classTemplates = await readTemplates(options, io);
  const reading = withoutUndefined({ imageColumn, captionColumn, images, classTemplates });
  const tuned = join(out, finetuneFiles.tuned);
  if (resume) await reportNewStart(tuned, io);
  announceStop(io);
  const { training, record, skipped } = await finetune(
    {
      ...{ model: () => locateModel(model, options, io), general, recipe, epochs, alpha },
      ...{ maxLoss: options.maxLoss / 100, settings: await readSettings(options) },
      data: { source: data, ...reading },
      validation: validation === undefined ? undefined : { source: validation, ...reading },
    },
    {
      ...{ out, resume, signal: io.signal, onDownload: showDownload(io), onProgress: showStep(io) },
      onPlan: (plan, pairs) => describePlan(plan, pairs, options).forEach((line) => io.err(line)),
      onFinding: ({ step, text }) => io.err(`doctor, step ${step}: ${text}`),
      onScoring: (alpha, count, of) => io.progress(`blend ${alpha}: ${count} of ${of} images`),
      async onRecord(record, training) {
        await writeTrainReport(tuned, await readTrainConfig(join(tuned, runFiles.config)), training);
        await writeReport(out, record);
      },
    },
  );
  reportSkipped(skipped, "", io);
  if (!record) {
    const where = training.finished ? "while blends were measured" : `after step ${training.steps}`;
    io.err(`stopped ${where}; continue with: ${options.resumeLine}`);
    return;
  }
  show(out, record, { json: options.json, model, data, skipped }, io);
}

async function blendAgain(
  out: string,
  alpha: number,
  { json }: { readonly json?: boolean | undefined },
  io: CliIo,
): Promise<void> {
  const record = await keepAlpha(out, alpha, (record) => writeReport(out, record));
  show(out, record, { json, model: record.model, data: record.data, skipped: [] }, io);
}

/** Keys of the training run from options and from the file of `--settings`. */
async function readSettings({ batchSize, learningRate, seed, maxImagePixels, imageSize, settings }: FinetuneOptions) {
  // Their values are checked with the run.
  const others = settings === undefined ? {} : await readJson(z.record(z.string(), z.unknown()), settings);
  return { ...others, ...withoutUndefined({ batchSize, learningRate, seed, maxImagePixels, imageSize }) };
}

const withoutUndefined = (values: object): object =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));

function describePlan(
  { recipe, settings }: FinetunePlan,
  pairs: FinetuneRecord["pairs"],
  { validation, general }: FinetuneOptions,
): string[] {
  const held = validation === undefined ? "held out for validation" : "for validation";
  const others =
    general === undefined ? "no general set: only your images are measured" : `${pairs.general} of a general set`;
  const rows = settings.map(({ name, value, why }) => [name, shortValue(value), why]);
  const data = `${counted(pairs.train, "pair")} to train on, ${pairs.validation} ${held}, ${others}`;
  const plan = table(["setting", "value", "reason"], rows).split("\n");
  return [data, `recipe "${recipe}" (--recipe chooses another)`, "", ...plan, ""];
}

/** A setting's value in the table; a long one is only mentioned. */
function shortValue(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length <= 24 ? text : "set";
}

interface Shown {
  readonly json: boolean | undefined;
  readonly model: string;
  readonly data: string;
  readonly skipped: readonly SkippedImage[];
}

async function writeReport(out: string, record: FinetuneRecord): Promise<void> {
  const page = finetunePage(record, join(finetuneFiles.tuned, runFiles.report));
  await writeFileAtomic(join(out, finetuneFiles.report), [page]);
}

function show(out: string, record: FinetuneRecord, { json, ...document }: Shown, io: CliIo): void {
  const [model, report] = [join(out, finetuneFiles.model), join(out, finetuneFiles.report)];
  if (json) return printJson({ ...document, results: { ...record, original: record.model, model, report } }, io);
  const rows = record.sweep.map(({ alpha, validation, general }) => [
    ...[alpha.toFixed(1), percentCell(validation.top1), percentCell(general?.top1)],
    [alpha === 0 && "original", alpha === 1 && "tuned", alpha === record.alpha && "kept"].filter(Boolean).join(", "),
  ]);
  io.out(table(["alpha", "yours", "general", ""], rows));
  io.out(`\nkept alpha ${record.alpha}: ${record.why}`);
  io.out(`model   ${model}`);
  io.out(`report  ${report}`);
}
