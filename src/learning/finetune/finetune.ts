import { join, resolve } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "../../core/atomic-write.ts";
import { ClipError } from "../../core/errors.ts";
import {
  callback,
  checkKind,
  checkOptions,
  either,
  type Kind,
  numberFrom,
  oneOf,
  type OptionKinds,
  pickOptions,
  record as recordKind,
  text,
  withoutKinds,
} from "../../core/options.ts";
import { launched } from "../../engine/distributed/launch.ts";
import { parseStrict, readJson } from "../../core/parse.ts";
import { pick } from "../../core/pick.ts";
import { readModel } from "../../model/pretrained/model-folder.ts";
import { defaultTemplates } from "../../model/zero-shot/templates.ts";
import { Blender, finetuneFiles } from "./weight-blends.ts";
import { chooseAlpha, type SweepScores } from "./choose-alpha.ts";
import { type TrainConfig, trainConfigSchema } from "../train/config.ts";
import {
  type FinetunePlan,
  finetuneRecipes,
  planFinetuning,
  type RecipeName,
  type RunSettings,
} from "./finetune-plan.ts";
import { readPairs, type PairSource, weightedSourceKinds } from "../../inputs/data/pairs.ts";
import { readRunData } from "../train/batches/run-data.ts";
import { trainKinds, type TrainOptions, type TrainResult } from "../train/train-options.ts";
import { scorePairs } from "./score-pairs.ts";
import type { ReadOptions } from "../../model/embedding/encode-readable.ts";
import { isClassFolder } from "../../inputs/data/sources/folder.ts";
import { isAddress } from "../../inputs/data/plain-shard.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";
import { sourceKinds, type SourceOptions } from "../../inputs/data/sources/samples.ts";
import { lockFolder } from "../train/lock-folder.ts";
import { train } from "../train/train.ts";

/** A source of pairs for `readPairs`, optionally with reading options. */
export type FinetuneSource = string | Omit<PairSource, "weight">;

export interface FinetuneConfig {
  /** A model folder or weight file; or a function that fetches it, called after the data are read. */
  readonly model: string | (() => Promise<string>);
  /** Training data. In a folder without captions, subfolders are classes, whose captions use the zero-shot templates. */
  readonly data: FinetuneSource;
  /** Data for choosing a blend. Default: a fifth of `data`, stratified by class and held out of training. */
  readonly validation?: FinetuneSource | undefined;
  /** Data of other kinds, on which the model should not become worse. Default: none. */
  readonly general?: FinetuneSource | undefined;
  /** Largest loss of top-1 on the general set, in [0, 1]. Default 0.01. */
  readonly maxLoss?: number | undefined;
  /** Blend to keep instead of the chosen one, from 0 (original) to 1 (tuned). */
  readonly alpha?: number | undefined;
  /** Default: by the number of pairs. */
  readonly recipe?: RecipeName | undefined;
  /** Default: the recipe's. */
  readonly epochs?: number | undefined;
  /** Keys of a run's configuration that override the plan. */
  readonly settings?: Omit<RunSettings, (typeof saidElsewhere)[number]> | undefined;
}

/** Keys of a run that follow from other fields of {@link FinetuneConfig}. */
const saidElsewhere = ["model", "init", "tokenizer", "preprocess", "train", "validation", "validationShare"] as const;
/** Keys of a run that affect reading its data. */
const readingKeys = [
  ...(["imageColumn", "captionColumn", "images", "classTemplates", "syntheticColumn", "objective"] as const),
  ...(["maxImagePixels", "imageSize", "seed"] as const),
] as const;

export interface FinetuneOptions extends Omit<TrainOptions, "tensorboard"> {
  /** Called before the first step with the plan and the numbers of pairs. */
  readonly onPlan?: ((plan: FinetunePlan, pairs: FinetuneRecord["pairs"]) => void) | undefined;
  /** Called while blends are scored, with the number of finished images and their total. */
  readonly onScoring?: ((alpha: number, images: number, of: number) => void) | undefined;
  /** Called with the results while the folder is still locked, to write further files into it. */
  readonly onRecord?: ((record: FinetuneRecord, training: TrainResult) => Promise<void>) | undefined;
}

const alphaKind: Kind = { ...numberFrom(0, 1), wanted: "a number from 0 (original) to 1 (tuned)" };
const sourceKind = either(text, { ...recordKind, wanted: "{ source } with reading options" });
const configKinds: OptionKinds<FinetuneConfig> = {
  ...{ model: either(text, callback), data: sourceKind, validation: sourceKind, general: sourceKind },
  ...{ maxLoss: numberFrom(0, 1), alpha: alphaKind, epochs: numberFrom(0), settings: recordKind },
  recipe: oneOf(...Object.keys(finetuneRecipes)),
};
const optionKinds: OptionKinds<FinetuneOptions> = {
  ...withoutKinds(trainKinds, "tensorboard"),
  ...{ onPlan: callback, onScoring: callback, onRecord: callback },
};

const scoresSchema = z.strictObject({ top1: z.number(), top5: z.number(), count: z.number(), classes: z.number() });

/** Schema of `finetune.json`. */
const recordSchema = z.strictObject({
  /** Path of the original model, and SHA-256 of its weights' values. */
  model: z.string(),
  weights: z.string(),
  /** Image size, if not the model's. */
  imageSize: z.number().optional(),
  dtype: z.enum(["F32", "F16"]),
  data: z.string(),
  /** Undefined if a part of the data was held out. */
  validation: z.string().optional(),
  general: z.string().optional(),
  pairs: z.strictObject({ train: z.number(), validation: z.number(), general: z.number() }),
  plan: z.strictObject({
    recipe: z.string(),
    settings: z.array(z.strictObject({ name: z.string(), value: z.unknown(), why: z.string() })),
  }),
  maxLoss: z.number(),
  /** In ascending order of alpha. */
  sweep: z.array(z.strictObject({ alpha: z.number(), validation: scoresSchema, general: scoresSchema.optional() })),
  /** The blend in `model/`, and the reason for it. */
  alpha: z.number(),
  why: z.string(),
});

/** Record of a finished fine-tuning. */
export type FinetuneRecord = z.output<typeof recordSchema>;

export interface FinetuneResult {
  readonly training: TrainResult;
  /** Undefined if the training or the blending was stopped. */
  readonly record: FinetuneRecord | undefined;
  /** Skipped images of all sets. */
  readonly skipped: readonly SkippedImage[];
}

/** Share of the data that is held out without a validation set. */
const heldOutShare = 0.2;
const usualMaxLoss = 0.01;
/** Measured blends. */
const alphas = Array.from({ length: 11 }, (_, i) => i / 10);

/**
 * Fine-tunes a model on captioned images without losing its other abilities: a training run with settings planned by the number of
 * pairs, then blends of original and tuned weights (WiSE-FT, Wortsman et al. 2022), each measured on validation images and a general
 * set. The chosen one is in `model/`; {@link keepAlpha} replaces it with another.
 *
 * @example
 * ```ts
 * await finetune({ model: "ViT-B/32", data: "pairs" }, { out: "tuned" });
 * ```
 *
 * @throws {ClipError} `CLIP_CONFIG` if a setting is invalid or follows from other fields; see also {@link train}.
 */
export async function finetune(config: FinetuneConfig, options: FinetuneOptions): Promise<FinetuneResult> {
  checkConfig(config, options);
  const { onPlan, onScoring, onRecord, ...listeners } = options;
  const { signal } = options;
  const data = await readData(config, options);
  const model = resolve(typeof config.model === "function" ? await config.model() : config.model);
  const original = await readModel(model, { imageSize: data.reading.imageSize });
  const given = pick(config, ["recipe", "epochs", "settings"]);
  const plan = planFinetuning({ pairs: data.counts.train, architecture: original.config, ...given });
  const run = runConfig(model, data.sources, Object.fromEntries(plan.settings.map(({ name, value }) => [name, value])));
  await using lock = await lockFolder(options.out);
  void lock;
  onPlan?.(plan, data.counts);
  const training = await train(run, { ...listeners, out: join(options.out, finetuneFiles.tuned) });
  const skipped = new Map([...training.skipped, ...(data.general?.skipped ?? [])].map((skip) => [skip.image, skip]));
  const resultWith = (record?: FinetuneRecord) => ({ training, record, skipped: [...skipped.values()] });
  if (!training.finished) return resultWith();

  const blender = await Blender.open(original, options.out, run.dtype);
  const { maxImagePixels } = data.reading;
  const onSkip = (broken: SkippedImage) => void skipped.set(broken.image, broken);
  const sweep = await measureBlends(blender, data, { maxImagePixels, signal, onSkip }, onScoring);
  if (!sweep) return resultWith();
  const { maxLoss = usualMaxLoss, alpha } = config;
  const chosen = alpha === undefined ? chooseAlpha(sweep, maxLoss) : { alpha, why: askedFor };
  const record: FinetuneRecord = {
    model,
    weights: blender.fingerprint,
    ...(data.reading.imageSize !== undefined && { imageSize: data.reading.imageSize }),
    dtype: run.dtype,
    data: nameOf(config.data),
    ...(config.validation && { validation: nameOf(config.validation) }),
    ...(config.general && { general: nameOf(config.general) }),
    pairs: data.counts,
    plan: { ...plan, settings: [...plan.settings] },
    maxLoss,
    sweep,
    ...chosen,
  };
  await blender.save(chosen.alpha);
  await writeRecord(options.out, record);
  await onRecord?.(record, training);
  return resultWith(record);
}

function checkConfig(config: FinetuneConfig, options: FinetuneOptions): void {
  checkOptions("finetune", config, configKinds, ["model", "data"]);
  checkOptions("finetune", options, optionKinds, ["out"]);
  if (launched().size > 1)
    throw new ClipError(
      "CLIP_USAGE",
      "clip-ts finetune runs in one process; for several, start clip-ts train with mpirun",
    );
  const fixed = saidElsewhere.find((key) => key in (config.settings ?? {}));
  if (fixed !== undefined)
    throw new ClipError("CLIP_CONFIG", `${fixed} follows from model, data and validation; leave it out`);
}

/** The pairs of a fine-tuning, and how they are read. */
type FinetuneData = Awaited<ReturnType<typeof readData>>;

async function readData(config: FinetuneConfig, options: FinetuneOptions) {
  const [data, validationSource, general] = await Promise.all(
    [config.data, config.validation, config.general].map(asSource),
  );
  const split = validationSource ? { validation: validationSource } : { validationShare: heldOutShare };
  const sources = { train: [data!], ...split };
  // How data is read does not depend on the settings that follow from its size.
  const given = pick(config.settings ?? {}, readingKeys);
  const reading = runConfig("model", sources, { batchSize: 1, steps: 1, learningRate: 1, ...given });
  const watching = { signal: options.signal, onProgress: options.onDownload };
  const { pairs, validation } = await readRunData(reading, watching);
  const common = { ...pickOptions<SourceOptions>(reading, sourceKinds), ...watching };
  const generalPairs =
    general && (await readPairs(general.source, { ...common, ...pickOptions<SourceOptions>(general, sourceKinds) }));
  const [ofTrain, ofValidation] = [pairs.samples.length, validation!.samples.length];
  const counts = { train: ofTrain, validation: ofValidation, general: generalPairs?.samples.length ?? 0 };
  return {
    ...{ sources, reading, counts },
    validation: validation!,
    general: generalPairs && { ...generalPairs, areClasses: general.classTemplates !== undefined },
  };
}

function runConfig(init: string, sources: object, settings: object): TrainConfig {
  return parseStrict(trainConfigSchema, { init, ...sources, ...settings }, "the fine-tuning");
}

/** Scores of each blend on both sets; undefined if stopped. */
async function measureBlends(
  blender: Blender,
  { validation, general, counts }: FinetuneData,
  options: ReadOptions,
  onScoring: FinetuneOptions["onScoring"],
): Promise<SweepScores[] | undefined> {
  const { signal } = options;
  const sweep: SweepScores[] = [];
  const of = counts.validation + counts.general;
  try {
    for (const alpha of alphas) {
      await using encoder = await blender.encoder(alpha, signal);
      const scoresOf = ({ samples, areClasses }: FinetuneData["validation"], before: number) => {
        const onProgress = (done: number) => onScoring?.(alpha, before + done, of);
        return scorePairs(encoder, samples, { ...options, areClasses, onProgress });
      };
      const own = await scoresOf(validation, 0);
      sweep.push({ alpha, validation: own, ...(general && { general: await scoresOf(general, counts.validation) }) });
    }
    return sweep;
  } catch (error) {
    if (signal?.aborted) return undefined;
    throw error;
  } finally {
    await blender.close();
  }
}

/**
 * Replaces `model/` of a finished fine-tuning with another blend, without training or measuring again.
 *
 * @param out - the fine-tuning's folder.
 * @param alpha - from 0 (original) to 1 (tuned).
 * @param onRecord - called with the results while the folder is still locked.
 * @throws {ClipError} `CLIP_TRAIN` if the folder holds no finished fine-tuning, or the original model has changed since;
 *   `CLIP_FILE` if it no longer exists; `CLIP_USAGE` if `alpha` is not in [0, 1].
 */
export async function keepAlpha(
  out: string,
  alpha: number,
  onRecord?: (record: FinetuneRecord) => Promise<void>,
): Promise<FinetuneRecord> {
  checkKind("keepAlpha: out", out, text);
  checkKind("keepAlpha: alpha", alpha, alphaKind);
  const record = await readFinetuning(out);
  await using lock = await lockFolder(out);
  void lock;
  const original = await readModel(record.model, { imageSize: record.imageSize });
  const blender = await Blender.open(original, out, record.dtype);
  if (blender.fingerprint !== record.weights)
    throw new ClipError(
      "CLIP_TRAIN",
      `the weights of ${record.model} have changed since the fine-tuning; restore them, or fine-tune again`,
    );
  const kept = { ...record, alpha, why: askedFor };
  await blender.save(alpha);
  await writeRecord(out, kept);
  await onRecord?.(kept);
  return kept;
}

const askedFor = "as given";

/** @throws {ClipError} `CLIP_TRAIN` if the folder has no finished fine-tuning. */
async function readFinetuning(out: string): Promise<FinetuneRecord> {
  const path = join(out, finetuneFiles.record);
  try {
    return await readJson(recordSchema, path);
  } catch (cause) {
    if (!(cause instanceof ClipError) || cause.code !== "CLIP_FILE") throw cause;
    const problem = `${out} has no finished fine-tuning: ${finetuneFiles.record} is missing`;
    throw new ClipError("CLIP_TRAIN", problem, { cause });
  }
}

async function writeRecord(out: string, record: FinetuneRecord): Promise<void> {
  await writeFileAtomic(join(out, finetuneFiles.record), [`${JSON.stringify(record, null, 2)}\n`]);
}

const nameOf = (source: FinetuneSource) => (typeof source === "string" ? source : source.source);

/** Normalizes a source: paths become absolute, and class folders get the default templates unless others are given. */
async function asSource(source: FinetuneSource | undefined): Promise<Omit<PairSource, "weight"> | undefined> {
  if (source === undefined) return undefined;
  const place = nameOf(source);
  const reading = typeof source === "string" ? {} : source;
  if (typeof source !== "string") checkOptions<PairSource>("finetune", source, weightedSourceKinds, ["source"]);
  const given: Omit<PairSource, "weight"> = { ...reading, source: isAddress(place) ? place : resolve(place) };
  if (given.classTemplates || !(await isClassFolder(given.source))) return given;
  return { ...given, classTemplates: [...defaultTemplates] };
}
