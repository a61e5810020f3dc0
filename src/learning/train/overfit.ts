import { sizeOf } from "../../core/shape.ts";
import { createHash } from "node:crypto";
import { ClipError } from "../../core/errors.ts";
import { abortSignal, callback, checkOptions, type OptionKinds } from "../../core/options.ts";
import { parseStrict } from "../../core/parse.ts";
import type { DownloadProgress } from "../../core/progress.ts";
import { Random } from "../../core/random.ts";
import { orSkipped, useLocatedImage } from "../../inputs/data/image-location.ts";
import { squarePixels } from "../../inputs/image/preprocess.ts";
import type { RasterImage } from "../../inputs/image/raster-image.ts";
import { type ClipConfig } from "../../model/towers/config.ts";
import { countParameters } from "../../model/nn/parameters.ts";
import { clipParameters } from "../../model/towers/parameters.ts";
import { Remote } from "../../engine/threads/remote.ts";
import { captionGroups } from "../../inputs/data/caption-groups.ts";
import { type TrainConfig, trainConfigSchema } from "./config.ts";
import type { TrainerOptions } from "./step/trainer.ts";
import { asCaption, type PairPixels } from "./batches/pair-tensors.ts";
import type { TrainerMethods } from "./step/trainer-worker.ts";
import { chanceLoss } from "./step/losses.ts";
import { readRunData } from "./batches/run-data.ts";
import { purposes } from "./batches/sampling.ts";
import { type Start, startModel } from "./initial-model.ts";
import type { Sample } from "../../inputs/data/sources/samples.ts";
import { trainedParameters } from "./step/trained-parameters.ts";
import type { TrainProgress } from "./train-options.ts";

/** The listeners of {@link overfit}, and a signal to stop it. */
export interface OverfitOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?:
    ((progress: Pick<TrainProgress, "learningRate" | "step" | "steps" | "loss">) => void) | undefined;
  readonly onDownload?: ((progress: DownloadProgress) => void) | undefined;
}

const overfitKinds: OptionKinds<OverfitOptions> = { signal: abortSignal, onProgress: callback, onDownload: callback };

/** One attempt to memorize the pairs. */
export interface OverfitAttempt {
  readonly learningRate: number;
  /** Updates made. */
  readonly steps: number;
  /** Before the first and after the last update, in nats; NaN if it diverged. */
  readonly firstLoss: number;
  readonly lastLoss: number;
  /** After the last update. */
  readonly logitScale: number;
  readonly learned: boolean;
}

export interface OverfitResult {
  readonly learned: boolean;
  readonly pairs: number;
  readonly differentCaptions: number;
  readonly differentImages: number;
  /** In nats: the loss at chance, and the lowest loss that repeated captions and label smoothing allow. */
  readonly chanceLoss: number;
  readonly leastLoss: number;
  /** The first has the run's own learning rate. */
  readonly attempts: readonly OverfitAttempt[];
  /** A summary, with suggestions if the pairs were not learned. */
  readonly text: string;
}

/** Few enough to be quick, too many to be told apart by luck. */
const checkedPairs = 32;
const maxSteps = 200;
const warmupSteps = 10;
/** Share of the way from chance to the lowest loss at which the pairs count as learned. */
const learnedShare = 0.9;
/** An attempt ends when its loss falls by less than this share in this many steps. */
const stillShare = 0.05;
const stillSteps = 50;
/** Factors of the run's learning rate, tried until one works; a loss that does not fall does not show whether the rate is too high or low. */
const factors = [1, 10, 0.1, 100, 0.01, 1000];

/**
 * Checks a run before it starts: can its model memorize 32 of its pairs, with its own settings but without augmentation and
 * decoder? A model that cannot will not learn from more data. In that case other learning rates are tried and likely causes
 * reported. Writes nothing.
 *
 * @throws {ClipError} `CLIP_DATA` if fewer than two pairs can be read; otherwise as `train`, before its first step.
 */
export async function overfit(config: TrainConfig, options: OverfitOptions = {}): Promise<OverfitResult> {
  config = parseStrict(trainConfigSchema, config, "the configuration of the run");
  checkOptions("overfit", options, overfitKinds);
  const { pairs } = await readRunData(config, { signal: options.signal, onProgress: options.onDownload });
  const started = await startModel(config, pairs.samples);
  const architecture = { ...started.architecture, decoder: undefined };
  const start = { ...started, architecture };
  const batch = await makeBatch(pairs.samples, start, config);
  const facts = {
    pairs: batch.captionGroup.length,
    differentCaptions: new Set(batch.captionGroup).size,
    differentImages: countDifferent(batch.pixels, batch.captionGroup.length),
    chanceLoss: chanceLoss(architecture, batch.captionGroup.length),
    leastLoss: leastLoss(batch.captionGroup, architecture, config),
  };
  const attempts: OverfitAttempt[] = [];
  if (facts.differentCaptions > 1 && facts.differentImages > 1) {
    for (const factor of factors) {
      const learningRate = Number((factor * config.learningRate).toPrecision(6));
      attempts.push(await attemptAt(learningRate, batch, config, start, facts, options));
      if (attempts.at(-1)!.learned) break;
    }
  }
  const trained = trainedParameters(architecture, config).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const outcome = { ...facts, learned: attempts[0]?.learned ?? false, attempts };
  return { ...outcome, text: describe(outcome, config, trained / countParameters(clipParameters(architecture))) };
}

/** A batch without augmentation, with different captions as far as possible. */
async function makeBatch(samples: readonly Sample[], start: Start, config: TrainConfig): Promise<PairPixels> {
  const { architecture, preprocess, tokenizer } = start;
  const images: Uint8Array[] = [];
  const captions: string[] = [];
  const decoding = { maxImagePixels: config.maxImagePixels };
  const squared = (raster: RasterImage) => squarePixels(raster, preprocess);
  for (const sample of differentFirst(samples, config.seed)) {
    if (captions.length === checkedPairs) break;
    const pixels = await orSkipped(sample.image, () => useLocatedImage(sample, decoding, squared));
    if ("reason" in pixels) continue;
    images.push(pixels);
    captions.push(sample.captions[0]!);
  }
  if (captions.length < 2) {
    const few = `${captions.length} of ${samples.length} pairs can be read, and two are needed`;
    throw new ClipError("CLIP_DATA", `${few}; check them with clip-ts data check`);
  }
  const { contextLength } = architecture.text;
  const { inputIds, endOfText } = tokenizer.tokenize(captions, { contextLength, ...asCaption });
  const captionGroup = captionGroups(inputIds, captions.length);
  return { pixels: Buffer.concat(images), inputIds, endOfText, captionGroup };
}

/** The samples shuffled, those whose caption repeats an earlier one last. */
function differentFirst(samples: readonly Sample[], seed: number): Sample[] {
  const seen = new Set<string>();
  const different: Sample[] = [];
  const repeated: Sample[] = [];
  for (const i of new Random(seed, purposes.order).permutation(samples.length)) {
    const [caption] = samples[i]!.captions as readonly [string, ...string[]];
    (seen.has(caption) ? repeated : different).push(samples[i]!);
    seen.add(caption);
  }
  return [...different, ...repeated];
}

/** The number of different rows. */
function countDifferent(pixels: Uint8Array, rows: number): number {
  const length = pixels.length / rows;
  const sumOf = (row: Uint8Array) => createHash("sha256").update(row).digest("hex");
  return new Set(Array.from({ length: rows }, (_, i) => sumOf(pixels.subarray(i * length, (i + 1) * length)))).size;
}

/** The lowest possible loss: the entropy of the targets, which is above 0 for repeated captions and label smoothing. */
function leastLoss(groups: Int32Array, { score }: ClipConfig, { labelSmoothing }: TrainConfig): number {
  if (score === "sigmoid") return 0;
  const pairs = groups.length;
  const entropy = (p: number) => (p === 0 ? 0 : -p * Math.log(p));
  const rows = Array.from(groups, (group) => {
    const equal = groups.filter((other) => other === group).length;
    const others = labelSmoothing / pairs;
    return equal * entropy((1 - labelSmoothing) / equal + others) + (pairs - equal) * entropy(others);
  });
  return rows.reduce((sum, row) => sum + row, 0) / pairs;
}

async function attemptAt(
  learningRate: number,
  batch: PairPixels,
  config: TrainConfig,
  { architecture, parameters, preprocess }: Start,
  { chanceLoss: chance, leastLoss: least }: Pick<OverfitResult, "chanceLoss" | "leastLoss">,
  { signal, onProgress }: OverfitOptions,
): Promise<OverfitAttempt> {
  const batchSize = batch.captionGroup.length;
  const isLearned = (loss: number) => (chance - loss) / (chance - least) >= learnedShare;
  const { chunkSize = batchSize } = config;
  const options: TrainerOptions = {
    ...config,
    config: architecture,
    batchSize,
    chunkSize: batchSize % chunkSize === 0 ? chunkSize : batchSize,
    emaDecay: undefined,
    objective: undefined,
  };
  const trainer = new Remote<TrainerMethods>("learning/train/step/trainer-worker");
  try {
    const initial = new Map(Array.from(parameters, ([path, { data }]) => [path, data.slice()]));
    await trainer.call("create", [options, initial, preprocess], initial.values());
    const losses: number[] = [];
    let logitScale = NaN;
    for (let step = 0; step <= maxSteps; step++) {
      signal?.throwIfAborted();
      const rate = learningRate * Math.min(1, (step + 1) / warmupSteps);
      const { loss, ...result } = await trainer.call("step", [batch, rate]);
      losses.push(loss);
      logitScale = result.logitScale;
      onProgress?.({ learningRate, step, steps: maxSteps, loss });
      if (!Number.isFinite(loss) || isLearned(loss)) break;
      const before = losses[step - stillSteps];
      if (step % stillSteps === 0 && before && loss - least > (1 - stillShare) * (before - least)) break;
    }
    const lastLoss = losses.at(-1)!;
    const steps = losses.length - 1;
    return { learningRate, steps, firstLoss: losses[0]!, lastLoss, logitScale, learned: isLearned(lastLoss) };
  } finally {
    await trainer.end();
  }
}

/** A smaller share of trained parameters may be the cause. */
const fewTrained = 0.5;
/** A smaller scale allows no loss near 0: similarities are at most 1. */
const smallScale = 10;

type Outcome = Omit<OverfitResult, "text">;

/** The outcome in words, then suggestions. */
function describe(outcome: Outcome, config: TrainConfig, trainedShare: number): string {
  const { learned, pairs, attempts, chanceLoss: chance, leastLoss: least } = outcome;
  const [first] = attempts;
  if (!first) {
    const cause =
      outcome.differentCaptions === 1
        ? "all have the same caption, so there is nothing to learn. Check the captions with clip-ts data check; is it the right column?"
        : "all have the same image. Check the images with clip-ts data check";
    return `it cannot memorize ${pairs} pairs: ${cause}`;
  }
  const { firstLoss, lastLoss, steps } = first;
  const course = Number.isFinite(lastLoss)
    ? `the loss went from ${firstLoss.toFixed(2)} to ${lastLoss.toFixed(2)} in ${steps} steps`
    : `the loss is not finite after ${steps} steps`;
  const scale = `chance is ${chance.toFixed(2)}, and the lowest possible loss ${least.toFixed(2)}`;
  if (learned && steps === 0)
    return `it already knows these ${pairs} pairs: the loss is ${firstLoss.toFixed(2)}; ${scale}`;
  if (learned) return `it can memorize ${pairs} pairs: ${course}; ${scale}`;
  const summary = `it cannot memorize ${pairs} pairs at learningRate ${first.learningRate}: ${course}; ${scale}`;
  return [summary, ...whatToTry(outcome, config, trainedShare).map((hint) => `- ${hint}`)].join("\n");
}

function whatToTry(
  { pairs, differentCaptions, differentImages, attempts }: Outcome,
  { learningRate, patchDropout, lockImage, lockText, lora }: TrainConfig,
  trainedShare: number,
): string[] {
  const better = attempts.find(({ learned }) => learned)?.learningRate;
  const scale = Math.exp(attempts[0]!.logitScale);
  const tried = attempts.map((attempt) => attempt.learningRate).join(", ");
  const frozenBy = [lockImage && "lockImage", lockText && "lockText", lora && "lora"].filter(Boolean).join(", ");
  const first =
    better === undefined
      ? `the learning rate is not the cause, or not the only one: none of ${tried} works`
      : `with learningRate ${better} it can: yours is too ${better > learningRate ? "low" : "high"}`;
  const others: readonly (readonly [applies: boolean, hint: string])[] = [
    [
      better === undefined && trainedShare < fewTrained,
      `only ${(100 * trainedShare).toFixed(1)} % of the weights are trained (${frozenBy}): unlock a tower or some blocks, or raise lora's rank`,
    ],
    [
      differentCaptions < pairs / 2,
      `only ${differentCaptions} of the ${pairs} captions differ; is the right column read?`,
    ],
    [
      differentImages < pairs,
      `only ${differentImages} of the ${pairs} images differ, and equal images cannot have different captions`,
    ],
    [
      better === undefined && scale < smallScale,
      `logitScale multiplies similarities by only ${scale.toFixed(1)}, too little for a low loss; start with ln(1/0.07) = 2.66`,
    ],
    [patchDropout > 0, `patchDropout hides ${(100 * patchDropout).toFixed(0)} % of each image; leave it out`],
  ];
  return [first, ...others.flatMap(([applies, hint]) => (applies ? [hint] : []))];
}
