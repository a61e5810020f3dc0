import { abortSignal, checkOptions, numberFrom, type OptionKinds, wholeNumber } from "../../core/options.ts";

/** The value of a function at a point, and its gradient there. */
export interface Evaluation {
  readonly value: number;
  /** As long as the point. */
  readonly gradient: Float64Array;
}

/** A smooth function of n numbers; NaN or infinite where it is undefined. */
export type Objective = (x: Float64Array) => Evaluation | Promise<Evaluation>;

export interface LbfgsOptions {
  /** Most steps. Default 1000. */
  readonly maxIterations?: number | undefined;
  /** Stops when no entry of the gradient is larger. Default 1e-8. */
  readonly gradientTolerance?: number | undefined;
  /** Stops when a step lowers the value by no more than this share of it. Default 0. */
  readonly valueTolerance?: number | undefined;
  /** Relative rounding error of the value: a step may raise it by this much. Default that of doubles. */
  readonly precision?: number | undefined;
  /** Number of past steps that approximate the curvature. Default 10. */
  readonly history?: number | undefined;
  /** Stops between two evaluations. */
  readonly signal?: AbortSignal | undefined;
}

const lbfgsKinds: OptionKinds<LbfgsOptions> = {
  ...{ maxIterations: wholeNumber(0), history: wholeNumber(1), signal: abortSignal },
  ...{ gradientTolerance: numberFrom(0), valueTolerance: numberFrom(0), precision: numberFrom(0) },
};

export interface Minimum extends Evaluation {
  readonly x: Float64Array;
  readonly iterations: number;
  readonly evaluations: number;
  /** The stopping rule that applied; `precision`: no lower value along the direction of descent. */
  readonly reason: "gradient" | "value" | "precision" | "iterations";
}

/** A point on the searched line. */
interface LinePoint extends Evaluation {
  readonly step: number;
  readonly x: Float64Array;
  /** Of the value along the line. */
  readonly slope: number;
}

/** A step must lower the value by this share of what the slope at its start promises, … */
const sufficientDecrease = 1e-4;
/** … and lower the slope's size to this share: together the strong Wolfe conditions, with the constants for quasi-Newton steps. */
const sufficientFlatness = 0.9;
/** Tries in each half of a line search; each narrows the interval to at most nine tenths. */
const maxTries = 30;

/**
 * Finds a local minimum of a smooth function by L-BFGS with a line search for the strong Wolfe conditions, in double precision.
 *
 * @example
 * ```ts
 * const bowl = ([x = 0, y = 0]: Float64Array) => ({ value: x * x + 3 * y * y, gradient: Float64Array.of(2 * x, 6 * y) });
 * console.log((await lbfgs(bowl, Float64Array.of(1, 2))).x);
 * ```
 *
 * @see Nocedal and Wright, Numerical Optimization (2006), algorithms 7.4 and 7.5, 3.5 and 3.6.
 */
export async function lbfgs(objective: Objective, start: Float64Array, options: LbfgsOptions = {}): Promise<Minimum> {
  checkOptions("lbfgs", options, lbfgsKinds);
  const { maxIterations = 1000, gradientTolerance = 1e-8, valueTolerance = 0, history = 10, signal } = options;
  let evaluations = 0;
  const evaluate = (x: Float64Array) => {
    signal?.throwIfAborted();
    evaluations++;
    return objective(x);
  };
  const curvature = new Curvature(history);
  let x = start;
  let { value, gradient } = await evaluate(x);
  const end = (reason: Minimum["reason"], iterations: number) => {
    return { x, value, gradient, iterations, evaluations, reason };
  };
  for (let iteration = 0; iteration < maxIterations; iteration++) {
    if (largest(gradient) <= gradientTolerance) return end("gradient", iteration);
    const direction = curvature.direction(gradient);
    const at = async (step: number): Promise<LinePoint> => {
      const moved = x.map((value, i) => value + step * direction[i]!);
      const evaluation = await evaluate(moved);
      return { ...evaluation, step, x: moved, slope: dot(evaluation.gradient, direction) };
    };
    const origin = { step: 0, x, value, gradient, slope: dot(gradient, direction) };
    // Nothing is known of the curvature at first: one unit of length along the gradient.
    const step = curvature.isEmpty ? 1 / Math.sqrt(dot(gradient, gradient)) : 1;
    const next = origin.slope < 0 ? await searchLine(at, origin, step, options.precision) : undefined;
    if (!next) {
      if (curvature.isEmpty) return end("precision", iteration);
      curvature.forget();
      continue;
    }
    curvature.remember(subtract(next.x, x), subtract(next.gradient, gradient));
    const gain = value - next.value;
    ({ x, value, gradient } = next);
    if (gain <= valueTolerance * Math.abs(value)) return end("value", iteration + 1);
  }
  return end("iterations", maxIterations);
}

/** The last steps and changes of the gradient, from which the inverse Hessian is approximated. */
class Curvature {
  readonly #size: number;
  readonly #pairs: { readonly s: Float64Array; readonly y: Float64Array; readonly sy: number }[] = [];

  constructor(size: number) {
    this.#size = size;
  }

  get isEmpty(): boolean {
    return this.#pairs.length === 0;
  }

  forget(): void {
    this.#pairs.length = 0;
  }

  /** @param s - a step; y - the change of the gradient. Along a step that meets no curvature upwards nothing is learnt. */
  remember(s: Float64Array, y: Float64Array): void {
    const sy = dot(s, y);
    if (sy <= Number.EPSILON * dot(y, y)) return;
    this.#pairs.push({ s, y, sy });
    if (this.#pairs.length > this.#size) this.#pairs.shift();
  }

  /** −H g, by two loops over the pairs. */
  direction(gradient: Float64Array): Float64Array {
    const q = gradient.map((value) => -value);
    const alphas = new Map<object, number>();
    for (const pair of this.#pairs.toReversed()) {
      const alpha = dot(pair.s, q) / pair.sy;
      alphas.set(pair, alpha);
      addScaled(q, -alpha, pair.y);
    }
    const last = this.#pairs.at(-1);
    if (last) {
      const scale = last.sy / dot(last.y, last.y);
      q.forEach((value, i) => (q[i] = scale * value));
    }
    for (const pair of this.#pairs) addScaled(q, alphas.get(pair)! - dot(pair.y, q) / pair.sy, pair.s);
    return q;
  }
}

/** A point that fulfils the strong Wolfe conditions; if none is found, at least a lower one, or none. */
async function searchLine(
  at: (step: number) => Promise<LinePoint>,
  origin: LinePoint,
  firstStep: number,
  precision = Number.EPSILON,
): Promise<LinePoint | undefined> {
  const rounding = precision * Math.abs(origin.value);
  // Both are false of what is no number.
  const isLower = ({ step, value }: LinePoint) =>
    value <= origin.value + sufficientDecrease * step * origin.slope + rounding;
  const isFlat = ({ slope }: LinePoint) => Math.abs(slope) <= -sufficientFlatness * origin.slope;

  /** Narrows the interval between the lowest point so far and a point beyond a minimum. */
  const zoom = async (low: LinePoint, high: LinePoint): Promise<LinePoint | undefined> => {
    // Less than rounding is not to be found between them.
    for (let i = 0; i < maxTries && Math.abs((high.step - low.step) * low.slope) > rounding; i++) {
      const point = await at(stepBetween(low, high));
      if (!isLower(point) || point.value > low.value + rounding) high = point;
      else {
        if (isFlat(point)) return point;
        if (point.slope * (high.step - low.step) >= 0) high = low;
        low = point;
      }
    }
    return low.step > 0 ? low : undefined;
  };

  let before = origin;
  for (let step = firstStep, i = 0; i < maxTries; step *= 2, i++) {
    const point = await at(step);
    if (!isLower(point) || point.value > before.value + rounding) return zoom(before, point);
    if (isFlat(point)) return point;
    if (point.slope >= 0) return zoom(point, before);
    before = point;
  }
  return before;
}

/** The minimum of the cubic through both values and slopes, at least a tenth of the interval from its ends; else the middle. */
function stepBetween(a: LinePoint, b: LinePoint): number {
  const width = b.step - a.step;
  const d1 = a.slope + b.slope - (3 * (b.value - a.value)) / width;
  const d2 = Math.sign(width) * Math.sqrt(d1 ** 2 - a.slope * b.slope);
  const share = 1 - (b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2);
  return a.step + width * (Number.isFinite(share) ? Math.min(Math.max(share, 0.1), 0.9) : 0.5);
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function addScaled(to: Float64Array, factor: number, values: Float64Array): void {
  for (let i = 0; i < to.length; i++) to[i]! += factor * values[i]!;
}

const subtract = (a: Float64Array, b: Float64Array): Float64Array => a.map((value, i) => value - b[i]!);

const largest = (values: Float64Array): number => values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
