import { sizeOf } from "../../core/shape.ts";
import { createHash } from "node:crypto";
import { ClipError } from "../../core/errors.ts";
import { abortSignal, callback, checkOptions, type OptionKinds } from "../../core/options.ts";
import { parseStrict } from "../../core/parse.ts";
import type { DownloadProgress } from "../../core/progress.ts";
import { Random } from "../../core/random.ts";
import { readImage } from "../../inputs/data/image-location.ts";
import { squarePixels } from "../../inputs/image/preprocess.ts";
import { type ClipConfig } from "../../model/towers/config.ts";
import { countParameters } from "../../model/nn/parameters.ts";
import { clipParameters } from "../../model/towers/parameters.ts";
import { Remote } from "../../engine/threads/remote.ts";
import { asCaption } from "./batches/caption-tokens.ts";
import { captionGroups } from "../../inputs/data/caption-groups.ts";
import { type TrainConfig, trainConfigSchema } from "./config.ts";
import type { TrainerOptions } from "./step/trainer.ts";
import type { PairPixels } from "./batches/pair-tensors.ts";
import type { TrainerMethods } from "./step/trainer-worker.ts";
import { chanceLoss } from "./step/losses.ts";
import { readRunData } from "./batches/run-data.ts";
import { purposes } from "./batches/sampling.ts";
import { type Start, startModel } from "./initial-model.ts";
import type { Sample } from "../../inputs/data/sources/samples.ts";
import { trainedParameters } from "./step/trained-parameters.ts";

/** Who listens to an {@link overfit}, and who may stop it. */
export interface OverfitOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?:
    ((progress: { learningRate: number; step: number; steps: number; loss: number }) => void) | undefined;
  readonly onDownload?: ((progress: DownloadProgress) => void) | undefined;
}

const overfitKinds: OptionKinds<OverfitOptions> = { signal: abortSignal, onProgress: callback, onDownload: callback };

/** One attempt to learn the pairs by heart. */
export interface OverfitAttempt {
  readonly learningRate: number;
  /** Updates made. */
  readonly steps: number;
  /** Before the first update and behind the last, in nats; NaN where it diverged. */
  readonly firstLoss: number;
  readonly lastLoss: number;
  /** The logarithm that cosines are multiplied with in the end. */
  readonly logitScale: number;
  readonly learned: boolean;
}

/** Whether a model can learn a few pairs by heart, and if not, what seems to be wrong. */
export interface OverfitResult {
  readonly learned: boolean;
  readonly pairs: number;
  readonly differentCaptions: number;
  readonly differentImages: number;
  /** In nats: of a model that tells nothing apart, and the least that captions which repeat allow. */
  readonly chanceLoss: number;
  readonly leastLoss: number;
  /** The first with the run's own learning rate. */
  readonly attempts: readonly OverfitAttempt[];
  /** What was seen, and what to try, in plain words. */
  readonly text: string;
}

/** Few enough to be quick, and more than can be told apart by luck. */
const checkedPairs = 32;
const maxSteps = 200;
const warmupSteps = 10;
/** So much of the way from chance to the least loss is by heart. */
const learnedShare = 0.9;
/** An attempt whose loss has lost no more than this share in so many steps stands still. */
const stillShare = 0.05;
const stillSteps = 50;
/** The run's own rate, and others if it does not do: a loss that stands still does not say to which side the rate is wrong. */
const factors = [1, 10, 0.1, 100, 0.01, 1000];

/**
 * Before a run: lets its model learn 32 of its pairs by heart, with the run's own switches and learning rate, without
 * augmentation, and without what a decoder would learn from synthetic captions. What cannot do this will not learn from
 * more. If it cannot, other learning rates are tried, and what seems to be wrong is said. Nothing is written, and the run itself is not touched.
 *
 * @throws {ClipError} `CLIP_DATA` if there are not two pairs that can be read; otherwise as `train`, before its first step.
 */
export async function overfit(config: TrainConfig, options: OverfitOptions = {}): Promise<OverfitResult> {
  config = parseStrict(trainConfigSchema, config, "the configuration of the run");
  checkOptions("overfit", options, overfitKinds);
  const { pairs } = await readRunData(config, { signal: options.signal, onProgress: options.onDownload });
  const started = await startModel(config, pairs.samples);
  // What a decoder writes does not tell pairs apart.
  const start = { ...started, architecture: { ...started.architecture, decoder: undefined } };
  const { architecture } = start;
  const batch = await makeBatch(pairs.samples, start, config);
  const count = batch.captionGroup.length;
  const differentCaptions = new Set(batch.captionGroup).size;
  const differentImages = countDifferent(batch.pixels, count);
  const [chance, least] = [chanceLoss(architecture, count), leastLoss(batch.captionGroup, architecture, config)];

  const attempts: OverfitAttempt[] = [];
  // Where all is one there is nothing to learn.
  if (differentCaptions > 1 && differentImages > 1) {
    const attempt = async (learningRate: number) => {
      const goal = { chance, least };
      const made = await attemptAt(learningRate, batch, config, start, goal, options);
      attempts.push(made);
      return made.learned;
    };
    for (const factor of factors) if (await attempt(Number((factor * config.learningRate).toPrecision(6)))) break;
  }
  const trained = trainedParameters(architecture, config).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const seen = {
    ...{ learned: attempts[0]?.learned ?? false, pairs: count, differentCaptions, differentImages },
    ...{ chanceLoss: chance, leastLoss: least, attempts },
  };
  return { ...seen, text: describe(seen, config, trained / countParameters(clipParameters(architecture))) };
}

/** Pairs of different captions as far as there are such, as a run without augmentation would see them. */
async function makeBatch(samples: readonly Sample[], start: Start, config: TrainConfig): Promise<PairPixels> {
  const { architecture, preprocess, tokenizer } = start;
  const order = new Random(config.seed, purposes.order).permutation(samples.length);
  const met = new Set<string>();
  const [fresh, repeated]: [Sample[], Sample[]] = [[], []];
  for (const at of order) {
    const [caption] = samples[at]!.captions as readonly [string, ...string[]];
    (met.has(caption) ? repeated : fresh).push(samples[at]!);
    met.add(caption);
  }
  const images: Uint8Array[] = [];
  const captions: string[] = [];
  for (const sample of [...fresh, ...repeated]) {
    if (captions.length === checkedPairs) break;
    try {
      const raster = await readImage(sample, { maxImagePixels: config.maxImagePixels });
      images.push(squarePixels(raster, preprocess));
      captions.push(sample.captions[0]!);
    } catch (error) {
      if (!(error instanceof ClipError)) throw error;
    }
  }
  if (captions.length < 2)
    throw new ClipError("CLIP_DATA", `of ${samples.length} pairs ${captions.length} can be read; two are the least`);
  const { contextLength } = architecture.text;
  const { inputIds, endOfText } = tokenizer.tokenize(captions, { contextLength, ...asCaption });
  return {
    pixels: Buffer.concat(images),
    inputIds,
    endOfText,
    captionGroup: captionGroups(inputIds, captions.length),
  };
}

/** How many of so many rows are not equal to another. */
function countDifferent(pixels: Uint8Array, rows: number): number {
  const length = pixels.length / rows;
  const sums = Array.from({ length: rows }, (_, row) =>
    createHash("sha256")
      .update(pixels.subarray(row * length, (row + 1) * length))
      .digest("hex"),
  );
  return new Set(sums).size;
}

/** What is left of the loss when all is known: the entropy of the targets, where captions repeat or targets are smoothed. */
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
  { chance, least }: { readonly chance: number; readonly least: number },
  { signal, onProgress }: OverfitOptions,
): Promise<OverfitAttempt> {
  const batchSize = batch.captionGroup.length;
  const { chunkSize = batchSize } = config;
  const options: TrainerOptions = {
    ...{ ...config, config: architecture, batchSize, chunkSize: batchSize % chunkSize === 0 ? chunkSize : batchSize },
    ...{ gradClipNorm: config.gradClipNorm, emaDecay: undefined, objective: undefined },
  };
  const engine = new Remote<TrainerMethods>("learning/train/step/trainer-worker");
  try {
    const initial = new Map(Array.from(parameters, ([path, { data }]) => [path, data.slice()]));
    await engine.call("create", [options, initial, preprocess], initial.values());
    const losses: number[] = [];
    let logitScale = NaN;
    for (let step = 0; step <= maxSteps; step++) {
      signal?.throwIfAborted();
      const told = await engine.call("step", [batch, learningRate * Math.min(1, (step + 1) / warmupSteps)]);
      losses.push(told.loss);
      logitScale = told.logitScale;
      onProgress?.({ learningRate, step, steps: maxSteps, loss: told.loss });
      const share = (chance - told.loss) / (chance - least);
      if (!Number.isFinite(told.loss) || share >= learnedShare) break;
      const before = losses[step - stillSteps];
      if (step % stillSteps === 0 && before && told.loss - least > (1 - stillShare) * (before - least)) break;
    }
    const [firstLoss, lastLoss] = [losses[0]!, losses.at(-1)!];
    const learned = (chance - lastLoss) / (chance - least) >= learnedShare;
    return { learningRate, steps: losses.length - 1, firstLoss, lastLoss, logitScale, learned };
  } finally {
    await engine.end();
  }
}

/** Of a locked model so little is trained that this may be why. */
const fewTrained = 0.5;
/** With a smaller factor no loss near 0 is possible: cosines are at most 1. */
const smallScale = 10;

type Seen = Omit<OverfitResult, "text">;

/** What was seen, then what to try. */
function describe(seen: Seen, config: TrainConfig, trainedShare: number): string {
  const { learned, pairs, attempts, chanceLoss: chance, leastLoss: least } = seen;
  const [first] = attempts;
  if (!first) return `it cannot learn ${pairs} pairs by heart: ${nothingToLearn(seen)}`;
  const course = ({ firstLoss, lastLoss, steps }: OverfitAttempt) =>
    Number.isFinite(lastLoss)
      ? `the loss went from ${firstLoss.toFixed(2)} to ${lastLoss.toFixed(2)} in ${steps} steps`
      : `the loss is no number any more after ${steps} steps`;
  const scale = `chance is ${chance.toFixed(2)}, and the least that is possible ${least.toFixed(2)}`;
  if (learned && first.steps === 0)
    return `it knows these ${pairs} pairs already: the loss is ${first.firstLoss.toFixed(2)}; ${scale}`;
  if (learned) return `it can learn ${pairs} pairs by heart: ${course(first)}; ${scale}`;
  const said = `it cannot learn ${pairs} pairs by heart at learningRate ${first.learningRate}: ${course(first)}; ${scale}`;
  return [said, ...whatToTry(seen, config, trainedShare).map((hint) => `- ${hint}`)].join("\n");
}

function nothingToLearn({ differentCaptions }: Seen): string {
  return differentCaptions === 1
    ? "all have the same caption, so there is nothing to tell apart. Look at the captions with clip-ts data check; is it the right column?"
    : "all are the same image. Look at the images with clip-ts data check";
}

function whatToTry(
  { pairs, differentCaptions, differentImages, attempts }: Seen,
  { learningRate, patchDropout, lockImage, lockText, lora }: TrainConfig,
  trainedShare: number,
): string[] {
  const hints: string[] = [];
  const better = attempts.find(({ learned }) => learned)?.learningRate;
  if (better !== undefined)
    hints.push(`with learningRate ${better} it can: yours is too ${better > learningRate ? "low" : "high"}`);
  else {
    const tried = attempts.map((attempt) => String(attempt.learningRate)).join(", ");
    hints.push(`the learning rate is not all of it: it cannot with any of ${tried}`);
  }
  if (better === undefined && trainedShare < fewTrained) {
    const by = [lockImage && "lockImage", lockText && "lockText", lora && "lora"].filter(Boolean).join(", ");
    hints.push(
      `only ${(100 * trainedShare).toFixed(1)} % of the weights are trained (${by}): unlock a tower, or blocks of it, or raise lora's rank`,
    );
  }
  if (differentCaptions < pairs / 2)
    hints.push(`only ${differentCaptions} of the ${pairs} captions differ; are the others what they should be?`);
  if (differentImages < pairs)
    hints.push(
      `only ${differentImages} of the ${pairs} images differ, and what is equal cannot have different captions`,
    );
  const scale = Math.exp(attempts[0]!.logitScale);
  if (better === undefined && scale < smallScale)
    hints.push(
      `logitScale multiplies cosines by only ${scale.toFixed(1)}, with which no loss is near the least; begin with ln(1/0.07) = 2.66`,
    );
  if (patchDropout > 0)
    hints.push(`patchDropout hides ${(100 * patchDropout).toFixed(0)} % of each image; leave it out`);
  return hints;
}
