import { ClipError } from "../../core/errors.ts";
import { Random } from "../../core/random.ts";
import { concatenate, float32, type TensorData } from "../../core/tensor-data.ts";
import {
  abortSignal,
  callback,
  checkOptions,
  listOf,
  numberFrom,
  type OptionKinds,
  record,
  text,
  wholeNumber,
} from "../../core/options.ts";
import type { ClipEncoder } from "../../model/embedding/encoder.ts";
import { logitOf } from "../../model/embedding/logits.ts";
import { type ClassifierOptions, ZeroShotClassifier } from "../../model/zero-shot/classifier.ts";
import {
  compileHead,
  type FittedHead,
  headLogits,
  type LabelledFeatures,
  type LinearHead,
  LogisticRegression,
} from "./logistic-regression.ts";

export interface HeadScores {
  /** Share of right images, in [0, 1]. */
  readonly accuracy: number;
  /** Mean of the classes' accuracies; classes without images are left out. */
  readonly meanPerClass: number;
  /** The classes' accuracies; NaN for a class without images. */
  readonly perClass: readonly number[];
  /** Mean over images, in nats. */
  readonly negativeLogLikelihood: number;
}

/** A strength of the penalty, and the scores of its head on held-out images. */
export interface SweepPoint extends HeadScores {
  readonly lambda: number;
  readonly iterations: number;
}

export interface ProbeOptions {
  /** Strength of the L2 penalty; by default a sweep chooses it. */
  readonly lambda?: number | undefined;
  /** Images that the sweep chooses by; default a fifth of each class of the training images. */
  readonly validation?: LabelledFeatures | undefined;
  /** Random seed of the held-out images. Default 0. */
  readonly seed?: number | undefined;
  /** Weights that the penalty pulls to, such as those of {@link zeroShotHead}; default zeros. */
  readonly around?: LinearHead | undefined;
  /** Called with each point of the sweep. */
  readonly onPoint?: ((point: SweepPoint) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const probeKinds: OptionKinds<ProbeOptions> = {
  ...{ lambda: numberFrom(0), validation: record, seed: wholeNumber(0), around: record },
  ...{ onPoint: callback, signal: abortSignal },
};

export interface Probe extends FittedHead {
  readonly lambda: number;
  /** In order of λ; empty if λ was given. */
  readonly sweep: readonly SweepPoint[];
}

/** Steps of the sweep, each an eighth of a decade of λ, from 10⁻⁶ to 10⁶. */
const sweepSteps = 96;
const lambdaAt = (step: number) => 10 ** (step / 8 - 6);
/** Initial stride of the sweep, halved around the best λ. */
const firstStride = 16;

/** Share of each class that is held out without validation images. */
const heldOut = 1 / 5;

/**
 * Trains a linear probe (Radford et al. 2021, section 3.2 and appendix A.3): logistic regression on features. The strength of the
 * penalty is chosen on held-out images; then the head is fitted to all.
 *
 * @example
 * ```ts
 * await using clip = await loadClip("pictograms");
 * const { classes, samples } = await readLabelledImages("train-images");
 * const { head } = await trainProbe(await encodeLabelled(clip, samples, "before"), classes);
 * console.log(head.weight.shape);
 * ```
 *
 * @throws {ClipError} `CLIP_DATA` if a class has too few images to hold one out.
 */
export async function trainProbe(
  images: LabelledFeatures,
  classNames: readonly string[],
  options: ProbeOptions = {},
): Promise<Probe> {
  checkOptions("trainProbe", options, probeKinds);
  const { lambda, validation, seed = 0, around, onPoint, signal } = options;
  const classes = classNames.length;
  if (lambda !== undefined) {
    await using regression = await LogisticRegression.compile(images, classes);
    return { ...(await regression.fit(lambda, { around, signal })), lambda, sweep: [] };
  }
  const split = validation ? { train: images, validation } : holdOut(images, classNames, seed);
  const { sweep, best, heads } = await sweepLambda(split.train, split.validation, classes, { around, onPoint, signal });
  const all = validation ? joinImages(images, validation) : images;
  await using regression = await LogisticRegression.compile(all, classes);
  const fitted = await regression.fit(best.lambda, { around, start: heads.get(best), signal });
  return { ...fitted, lambda: best.lambda, sweep };
}

/** Searches λ coarse to fine: seven values over all decades, then closer around the best, 15 fits instead of 97. */
async function sweepLambda(
  train: LabelledFeatures,
  validation: LabelledFeatures,
  classes: number,
  { around, onPoint, signal }: Pick<ProbeOptions, "around" | "onPoint" | "signal">,
) {
  await using regression = await LogisticRegression.compile(train, classes);
  await using scorer = await compileHead(classes, train.features.shape[1]!);
  const points = new Map<number, SweepPoint>();
  const heads = new Map<SweepPoint, LinearHead>();
  let best = 0;
  let before: LinearHead | undefined;
  const evaluate = async (step: number) => {
    if (step < 0 || step > sweepSteps || points.has(step)) return;
    const lambda = lambdaAt(step);
    const { head, iterations } = await regression.fit(lambda, { around, start: before, signal });
    const { logits } = await scorer.run({ ...head, features: validation.features });
    const point = { lambda, iterations, ...scoresOf(logits!, validation.labels) };
    points.set(step, point);
    heads.set(point, (before = head));
    onPoint?.(point);
  };
  const order = () => [...points.keys()].sort((a, b) => a - b);
  // From the strongest penalty down: it converges fastest, and each fit is a good start for the next.
  for (let step = sweepSteps; step >= 0; step -= firstStride) await evaluate(step);
  for (let stride = firstStride; ; stride /= 2) {
    best = order().reduce((a, b) => (isBetter(points.get(b)!, points.get(a)!) ? b : a));
    if (stride === 1) break;
    before = heads.get(points.get(best)!);
    await evaluate(best + stride / 2);
    await evaluate(best - stride / 2);
  }
  return { sweep: order().map((step) => points.get(step)!), best: points.get(best)!, heads };
}

/** Compares by accuracy, then by likelihood, since ties are frequent with few images. */
function isBetter(a: HeadScores, b: HeadScores): boolean {
  return a.accuracy === b.accuracy ? a.negativeLogLikelihood < b.negativeLogLikelihood : a.accuracy > b.accuracy;
}

export async function scoreHead(head: LinearHead, images: LabelledFeatures): Promise<HeadScores> {
  return scoresOf(await headLogits(head, images.features), images.labels);
}

function scoresOf(logits: TensorData, labels: Int32Array): HeadScores {
  const data = logits.data as Float32Array;
  const classes = logits.shape[1]!;
  const [right, total] = [new Float64Array(classes), new Float64Array(classes)];
  let nll = 0;
  labels.forEach((label, i) => {
    const logits = data.subarray(i * classes, (i + 1) * classes);
    const largest = logits.reduce((a, b) => Math.max(a, b));
    nll += largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0)) - logits[label]!;
    total[label]! += 1;
    if (logits[label] === largest) right[label]! += 1;
  });
  const perClass = Array.from(right, (count, c) => count / total[c]!);
  const met = perClass.filter((share) => !Number.isNaN(share));
  return {
    accuracy: right.reduce((a, b) => a + b) / labels.length,
    meanPerClass: met.reduce((a, b) => a + b, 0) / met.length,
    perClass,
    negativeLogLikelihood: nll / labels.length,
  };
}

export type ZeroShotHeadOptions = Pick<ClassifierOptions, "templates" | "signal" | "onEqualLabels">;
const zeroShotHeadKinds: OptionKinds<ZeroShotHeadOptions> = {
  ...{ templates: listOf(text), signal: abortSignal, onEqualLabels: callback },
};

/** The head that is equal to zero-shot classification; for unit vectors, after the projection. */
export async function zeroShotHead(
  encoder: ClipEncoder,
  classNames: readonly string[],
  options: ZeroShotHeadOptions = {},
): Promise<LinearHead> {
  checkOptions("zeroShotHead", options, zeroShotHeadKinds);
  const { zeroShotWeights } = await ZeroShotClassifier.create(encoder, classNames, options);
  const [width, classes] = zeroShotWeights.shape as [number, number];
  // A bias that is the same for all classes does not change a softmax.
  const logit = logitOf({ logitScale: encoder.logitScale, logitBias: 0 });
  const weight = new Float32Array(classes * width);
  zeroShotWeights.data.forEach((value, i) => (weight[(i % classes) * width + Math.floor(i / classes)] = logit(value)));
  return { weight: float32(weight, [classes, width]), bias: float32(new Float32Array(classes), [classes]) };
}

/**
 * Draws indices from each class, in ascending order.
 *
 * @param count - number to draw, given the class's size.
 * @param seed - random seed; a class's draw does not depend on the other classes.
 */
export function drawPerClass(labels: ArrayLike<number>, count: (ofClass: number) => number, seed: number): number[] {
  const ofClass = new Map<number, number[]>();
  for (let i = 0; i < labels.length; i++) {
    if (!ofClass.has(labels[i]!)) ofClass.set(labels[i]!, []);
    ofClass.get(labels[i]!)!.push(i);
  }
  const drawn = [...ofClass].flatMap(([label, indices]) => {
    const order = new Random(seed, label).permutation(indices.length);
    return Array.from(order.subarray(0, count(indices.length)), (i) => indices[i]!);
  });
  return drawn.sort((a, b) => a - b);
}

function holdOut(images: LabelledFeatures, classNames: readonly string[], seed: number) {
  const held = drawPerClass(images.labels, (count) => Math.max(1, Math.round(count * heldOut)), seed);
  const isHeld = new Set(held);
  const rest = Array.from(images.labels.keys()).filter((i) => !isHeld.has(i));
  const [train, validation] = [pickImages(images, rest), pickImages(images, held)];
  const lacking = classNames.find((_, label) => !train.labels.includes(label));
  if (lacking !== undefined) {
    const few = `the class ${JSON.stringify(lacking)} has fewer than two images, so none can be held out for choosing λ`;
    throw new ClipError("CLIP_DATA", `${few}: add some, or give validation images or λ`);
  }
  return { train, validation };
}

function pickImages({ features, labels }: LabelledFeatures, indices: readonly number[]): LabelledFeatures {
  const width = features.shape[1]!;
  const rows = indices.map((i) => features.data.subarray(i * width, (i + 1) * width));
  const shape = [indices.length, width];
  return { features: float32(concatenate(rows), shape), labels: Int32Array.from(indices, (i) => labels[i]!) };
}

function joinImages(a: LabelledFeatures, b: LabelledFeatures): LabelledFeatures {
  const data = concatenate([a.features.data, b.features.data]);
  const labels = Int32Array.from([...a.labels, ...b.labels]);
  return { features: float32(data, [labels.length, a.features.shape[1]!]), labels };
}
