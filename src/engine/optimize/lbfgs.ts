/** Value and gradient of a function at a point. */
export interface Evaluation {
  readonly value: number;
  /** Of the length of the point. */
  readonly gradient: Float64Array;
}

/** A smooth function of n numbers; its value is NaN or infinite where it is undefined. */
export type Objective = (x: Float64Array) => Evaluation | Promise<Evaluation>;

/** Options of {@link lbfgs}. */
export interface LbfgsOptions {
  /** Maximum number of steps. Default 1000. */
  readonly maxIterations?: number | undefined;
  /** Stops when no entry of the gradient is larger. Default 1e-8. */
  readonly gradientTolerance?: number | undefined;
  /** Stops when a step lowers the value by no more than this share of it. Default 0. */
  readonly valueTolerance?: number | undefined;
  /** Relative rounding error of values, by which a value may rise in a line search. Default that of doubles. */
  readonly precision?: number | undefined;
  /** Number of past steps that estimate the curvature. Default 10. */
  readonly history?: number | undefined;
  /** Stops between two evaluations. */
  readonly signal?: AbortSignal | undefined;
}

/** Result of {@link lbfgs}. */
export interface Minimum extends Evaluation {
  readonly x: Float64Array;
  /** Steps taken. */
  readonly iterations: number;
  /** Number of evaluations of the function. */
  readonly evaluations: number;
  /** Reason for stopping; `precision` means that no lower value was found along the descent direction. */
  readonly reason: "gradient" | "value" | "precision" | "iterations";
}

/** A point of a line search. */
interface LinePoint extends Evaluation {
  readonly step: number;
  readonly x: Float64Array;
  /** Derivative of the value along the line. */
  readonly slope: number;
}

/** A step must lower the value by this share of the decrease predicted by the initial slope, … */
const sufficientDecrease = 1e-4;
/** … and reduce the slope's magnitude to this share: the strong Wolfe conditions, with the usual quasi-Newton constants. */
const sufficientFlatness = 0.9;
/** Attempts in each phase of a line search; each narrows the interval to nine tenths or less. */
const maxTries = 30;

/**
 * Finds a local minimum of a smooth function by L-BFGS: quasi-Newton steps with the curvature of past steps, each to a
 * point that satisfies the strong Wolfe conditions. In double precision.
 *
 * @see Nocedal and Wright, Numerical Optimization (2006), algorithms 7.4 and 7.5, 3.5 and 3.6.
 */
export async function lbfgs(objective: Objective, start: Float64Array, options: LbfgsOptions = {}): Promise<Minimum> {
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
  const end = (reason: Minimum["reason"], iterations: number) => ({
    ...{ x, value, gradient },
    ...{ iterations, evaluations, reason },
  });
  for (let iteration = 0; iteration < maxIterations; iteration++) {
    if (largest(gradient) <= gradientTolerance) return end("gradient", iteration);
    const direction = curvature.direction(gradient);
    const at = async (step: number): Promise<LinePoint> => {
      const moved = x.map((value, i) => value + step * direction[i]!);
      const evaluation = await evaluate(moved);
      return { ...evaluation, step, x: moved, slope: dot(evaluation.gradient, direction) };
    };
    const origin = { step: 0, x, value, gradient, slope: dot(gradient, direction) };
    // Without curvature, the first step has unit length along the gradient.
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

/** Past steps and changes of the gradient, which approximate the inverse Hessian H. */
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

  /**
   * Adds a step, unless the curvature along it is not positive.
   *
   * @param s - the step.
   * @param y - the change of the gradient.
   */
  remember(s: Float64Array, y: Float64Array): void {
    const sy = dot(s, y);
    if (sy <= Number.EPSILON * dot(y, y)) return;
    this.#pairs.push({ s, y, sy });
    if (this.#pairs.length > this.#size) this.#pairs.shift();
  }

  /** The descent direction −H g, by two loops over the pairs. */
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

/** Finds a point that satisfies the strong Wolfe conditions; else a lower one; else undefined. */
async function searchLine(
  at: (step: number) => Promise<LinePoint>,
  origin: LinePoint,
  firstStep: number,
  precision = Number.EPSILON,
): Promise<LinePoint | undefined> {
  const rounding = precision * Math.abs(origin.value);
  // Both are false for NaN.
  const isLower = ({ step, value }: LinePoint) =>
    value <= origin.value + sufficientDecrease * step * origin.slope + rounding;
  const isFlat = ({ slope }: LinePoint) => Math.abs(slope) <= -sufficientFlatness * origin.slope;

  /** Searches between the lowest point so far and one beyond a minimum. */
  const zoom = async (low: LinePoint, high: LinePoint): Promise<LinePoint | undefined> => {
    // Stop when a further decrease would be below rounding.
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
