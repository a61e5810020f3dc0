import { gradients } from "../../engine/autodiff/gradients.ts";
import { ClipError } from "../../core/errors.ts";
import { pick } from "../../core/pick.ts";
import { float32, int32, type TensorData } from "../../core/tensor-data.ts";
import { constant, input } from "../../engine/graph/tensor.ts";
import { linear } from "../../model/nn/layers.ts";
import { lbfgs, type Minimum } from "../../engine/optimize/lbfgs.ts";
import { Session } from "../../engine/runtime/session.ts";

/** Features of N images, W values each, with their classes. */
export interface LabelledFeatures {
  /** float32 [N, W] */
  readonly features: TensorData<"float32">;
  /** int32 [N], from 0 to C − 1 */
  readonly labels: Int32Array;
}

/** A linear layer on features: logits = features · weightᵀ + bias. */
export interface LinearHead {
  /** [C, W] */
  readonly weight: TensorData<"float32">;
  /** [C] */
  readonly bias: TensorData<"float32">;
}

export interface FitOptions {
  /** Weights towards which the penalty pulls; default zeros. */
  readonly around?: LinearHead | undefined;
  /** Initial values; default `around`. They affect only the number of iterations. */
  readonly start?: LinearHead | undefined;
  /** Default 1000, as in the paper. */
  readonly maxIterations?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface FittedHead extends Pick<Minimum, "iterations" | "evaluations" | "reason"> {
  readonly head: LinearHead;
  /** Σ NLL + λ/2 ‖weight − around‖², in nats. */
  readonly objective: number;
  /** Σ NLL of the images, in nats. */
  readonly negativeLogLikelihood: number;
}

/** Gradient tolerance of the mean loss in scaled units; half its square estimates the remaining improvement. */
const gradientTolerance = 1e-6;
/** Relative tolerance of the loss; scikit-learn's L-BFGS stops at 2e-9. */
const valueTolerance = 1e-9;
/** Relative error of the loss from float32 rounding, which does not cancel completely over many images. */
const precision = 1e-9;
/** Limit of features per program, which is one protocol buffer of at most 2 GiB. */
const defaultProgramBytes = 2 ** 30;

/**
 * Multinomial logistic regression with an L2 penalty on the weights but not the biases. Matrix products run in ONNX Runtime in
 * float32, sums over images and steps in double precision. Features are centred, which reduces rounding errors and iterations;
 * the biases compensate.
 */
export class LogisticRegression implements AsyncDisposable {
  readonly #sessions: readonly Session[];
  readonly #images: number;
  readonly #classes: number;
  /** Mean and variance of the features; the mean is subtracted from them. */
  readonly #moments: Moments;

  private constructor(sessions: readonly Session[], images: number, classes: number, moments: Moments) {
    [this.#sessions, this.#images, this.#classes, this.#moments] = [sessions, images, classes, moments];
  }

  /**
   * Compiles the loss over images into sessions.
   *
   * @param classes - C
   * @param maxProgramBytes - bytes of features per program; more are split over several.
   * @throws {ClipError} `CLIP_USAGE` if the numbers of features and labels differ, or a label is out of range.
   */
  static async compile(
    images: LabelledFeatures,
    classes: number,
    maxProgramBytes = defaultProgramBytes,
  ): Promise<LogisticRegression> {
    checkFeatures(images, classes);
    const [count, width] = images.features.shape as [number, number];
    const moments = momentsOf(images.features);
    const rows = Math.max(1, Math.floor(maxProgramBytes / (4 * width)));
    const sessions: Session[] = [];
    for (let from = 0; from < count; from += rows) {
      sessions.push(await Session.compile(lossProgram(centredRows(images, moments.mean, from, from + rows), classes)));
    }
    return new LogisticRegression(sessions, count, classes, moments);
  }

  /**
   * Minimizes Σ NLL + λ/2 ‖weight − around‖² by L-BFGS.
   *
   * @param lambda - λ > 0, 1/C in scikit-learn; with λ = 0, separable classes have no minimum.
   */
  async fit(lambda: number, options: FitOptions = {}): Promise<FittedHead> {
    const { around, start = around, maxIterations = 1000, signal } = options;
    if (!(lambda > 0)) throw new ClipError("CLIP_USAGE", `lambda is ${lambda}; it must be above 0`);
    const [weights, images] = [this.#classes * this.#moments.mean.length, this.#images];
    const centre = Float64Array.from(around?.weight.data ?? new Float64Array(weights));
    const units = this.#units(lambda / images);
    const x = new Float64Array(weights + this.#classes);
    if (start) {
      x.set(start.weight.data);
      start.bias.data.forEach((bias, c) => (x[weights + c] = bias + this.#atMean(x, c)));
      x.forEach((value, i) => (x[i] = value / units[i]!));
    }
    // Divided by the number of images, so that tolerances do not depend on it.
    const objective = async (inUnits: Float64Array) => {
      const at = inUnits.map((value, i) => value * units[i]!);
      const { value, gradient } = await this.#loss(at);
      for (let i = 0; i < weights; i++) gradient[i]! += lambda * (at[i]! - centre[i]!);
      gradient.forEach((entry, i) => (gradient[i] = (entry * units[i]!) / images));
      return { value: (value + penalty(at)) / images, gradient };
    };
    const penalty = (at: Float64Array) =>
      (lambda / 2) * centre.reduce((sum, weight, i) => sum + (at[i]! - weight) ** 2, 0);
    const found = await lbfgs(objective, x, { maxIterations, gradientTolerance, valueTolerance, precision, signal });
    const at = found.x.map((value, i) => value * units[i]!);
    const value = found.value * images;
    return {
      head: this.#headAt(at.map((value, i) => (i < weights ? value : value - this.#atMean(at, i - weights)))),
      objective: value,
      negativeLogLikelihood: value - penalty(at),
      ...pick(found, ["iterations", "evaluations", "reason"]),
    };
  }

  /** Units in which the loss is about equally curved in every direction: 1 / √(second derivative) at uniform probabilities. */
  #units(penalty: number): Float64Array {
    const spread = (1 / this.#classes) * (1 - 1 / this.#classes);
    const ofRow = this.#moments.variance.map((variance) => 1 / Math.sqrt(spread * variance + penalty));
    const units = new Float64Array(this.#classes * (ofRow.length + 1)).fill(1 / Math.sqrt(spread));
    for (let c = 0; c < this.#classes; c++) units.set(ofRow, c * ofRow.length);
    return units;
  }

  /** A class's weights times the mean, the difference between biases for centred and original features. */
  #atMean(x: Float64Array, c: number): number {
    const width = this.#moments.mean.length;
    return this.#moments.mean.reduce((sum, value, i) => sum + value * x[c * width + i]!, 0);
  }

  #headAt(x: Float64Array): LinearHead {
    const shape = [this.#classes, this.#moments.mean.length] as const;
    const [weight, bias] = [x.subarray(0, shape[0] * shape[1]), x.subarray(shape[0] * shape[1])];
    return { weight: float32(Float32Array.from(weight), shape), bias: float32(Float32Array.from(bias), [shape[0]]) };
  }

  /** Σ NLL and its gradient. */
  async #loss(x: Float64Array) {
    const gradient = new Float64Array(x.length);
    let value = 0;
    for (const session of this.#sessions) {
      const { logLikelihood, dWeight, dBias } = await session.run({ ...this.#headAt(x) });
      for (const entry of logLikelihood!.data as Float32Array) value -= entry;
      let at = 0;
      for (const part of [dWeight!, dBias!]) for (const entry of part.data as Float32Array) gradient[at++]! += entry;
    }
    return { value, gradient };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#sessions.map((session) => session.release()));
  }
}

/** Log-likelihood of each image's class, [n], and the gradient of their negative sum. */
function lossProgram({ features, labels }: LabelledFeatures, classes: number) {
  const [count, width] = features.shape as [number, number];
  const head = headInputs(classes, width);
  const all = constant(int32([...Array(classes).keys()], [1, classes]));
  const oneHot = constant(int32(labels, [count, 1]))
    .equal(all)
    .cast("float32"); // [n, C]
  const logLikelihood = linear(head, constant(features)).logSoftmax(1).mul(oneHot).sum(1);
  const [dWeight, dBias] = gradients(logLikelihood.sum().neg(), [head.weight, head.bias]);
  return { logLikelihood, dWeight: dWeight!, dBias: dBias! };
}

function headInputs(classes: number, width: number) {
  return { weight: input("weight", [classes, width]), bias: input("bias", [classes]) };
}

/** A session that computes `logits` [N, C] from `features` [N, W] and a head's `weight` and `bias`. */
export function compileHead(classes: number, width: number): Promise<Session> {
  return Session.compile({ logits: linear(headInputs(classes, width), input("features", ["images", width])) });
}

/** Logits of every image, float32 [N, C]. */
export async function headLogits(head: LinearHead, features: TensorData<"float32">): Promise<TensorData> {
  const [classes, width] = head.weight.shape as [number, number];
  await using session = await compileHead(classes, width);
  const { logits } = await session.run({ ...head, features });
  return logits!;
}

/** Mean and variance of features, [W] each. */
interface Moments {
  readonly mean: Float64Array;
  readonly variance: Float64Array;
}

function momentsOf({ data, shape }: TensorData<"float32">): Moments {
  const [count, width] = shape as [number, number];
  const [mean, variance] = [new Float64Array(width), new Float64Array(width)];
  data.forEach((value, i) => (mean[i % width]! += value / count));
  data.forEach((value, i) => (variance[i % width]! += (value - mean[i % width]!) ** 2 / count));
  return { mean, variance };
}

/** Centred features and labels of the rows `from` to `to`. */
function centredRows({ features, labels }: LabelledFeatures, mean: Float64Array, from: number, to: number) {
  const width = mean.length;
  const data = features.data.slice(from * width, to * width);
  for (let i = 0; i < data.length;) for (let j = 0; j < width; j++) data[i++]! -= mean[j]!;
  const some = labels.subarray(from, to);
  return { features: float32(data, [some.length, width]), labels: some };
}

function checkFeatures({ features: { shape }, labels }: LabelledFeatures, classes: number): void {
  if (shape.length !== 2 || shape[0] !== labels.length || labels.length === 0)
    throw new ClipError("CLIP_USAGE", `features [${shape.join(", ")}] do not fit ${labels.length} labels`);
  const wrong = labels.find((label) => !(label >= 0 && label < classes));
  if (wrong !== undefined)
    throw new ClipError("CLIP_USAGE", `a label is ${wrong}; of ${classes} classes they go from 0 to ${classes - 1}`);
}
