import { checkOptions, numberFrom, type OptionKinds } from "../../core/options.ts";
import { sizeOf } from "../../core/shape.ts";
import { type OptimizedParameter, type Optimizer, updateKinds, type UpdateOptions } from "./optimizer.ts";

/** Constants of Ranger; the defaults are those of StyleCLIP's mapper training. */
export interface RangerOptions {
  /** Decay rate of the first moment. Default 0.95. */
  readonly beta1?: number | undefined;
  /** Decay rate of the second moment. Default 0.999. */
  readonly beta2?: number | undefined;
  /** Default 1e-5. */
  readonly epsilon?: number | undefined;
}

const rangerKinds: OptionKinds<RangerOptions> = {
  ...{ beta1: numberFrom(0, 1), beta2: numberFrom(0, 1), epsilon: numberFrom(0) },
};

/** Steps between two pulls towards the slow weights, and how far each pull goes (Zhang et al. 2019). */
const [lookaheadSteps, lookaheadShare] = [6, 0.5];
/** The second moment is used once it rests on more than this many gradients (Liu et al. 2020). */
const leastSamples = 5;

interface Moments {
  readonly first: Float32Array;
  readonly second: Float32Array;
  readonly slow: Float32Array;
}

/**
 * Ranger: RAdam's rectified steps (Liu et al. 2020), gradients centralized in matrices and kernels (Yong et al. 2020), and
 * Lookahead (Zhang et al. 2019). It has no weight decay.
 */
export class Ranger implements Optimizer {
  readonly #parameters: readonly OptimizedParameter[];
  readonly #options: Required<{ [Key in keyof RangerOptions]: number }>;
  readonly #moments = new Map<string, Moments>();
  #steps = 0;

  constructor(parameters: readonly OptimizedParameter[], options: RangerOptions = {}) {
    checkOptions("Ranger", options, rangerKinds);
    const { beta1 = 0.95, beta2 = 0.999, epsilon = 1e-5 } = options;
    this.#parameters = parameters;
    this.#options = { beta1, beta2, epsilon };
  }

  step(
    parameters: Map<string, Float32Array>,
    gradients: ReadonlyMap<string, Float32Array>,
    options: UpdateOptions,
  ): Promise<void> {
    checkOptions("Ranger.step", options, updateKinds, ["learningRate"]);
    const { learningRate, gradientScale = 1 } = options;
    const t = ++this.#steps;
    const { beta1, beta2, epsilon } = this.#options;
    const rectification = rectify(beta2, t);
    const stepSize = (learningRate * (rectification ?? 1)) / (1 - beta1 ** t);
    for (const { path, shape, rateScale = 1 } of this.#parameters) {
      const [p, g] = [parameters.get(path)!, gradients.get(path)!];
      const { first, second, slow } = this.#momentsOf(path, p);
      const centre = centralized(g, shape);
      for (let i = 0; i < p.length; i++) {
        const slope = gradientScale * centre(i);
        first[i] = beta1 * first[i]! + (1 - beta1) * slope;
        second[i] = beta2 * second[i]! + (1 - beta2) * slope * slope;
        const spread = rectification === undefined ? 1 : Math.sqrt(second[i]!) + epsilon;
        p[i]! -= (rateScale * stepSize * first[i]!) / spread;
        if (t % lookaheadSteps === 0) p[i] = slow[i]! += lookaheadShare * (p[i]! - slow[i]!);
      }
    }
    return Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #momentsOf(path: string, values: Float32Array): Moments {
    let own = this.#moments.get(path);
    if (!own) {
      const { length } = values;
      own = { first: new Float32Array(length), second: new Float32Array(length), slow: values.slice() };
      this.#moments.set(path, own);
    }
    return own;
  }
}

/** RAdam's factor at step t; undefined while the second moment rests on too few gradients. */
function rectify(beta2: number, t: number): number | undefined {
  const most = 2 / (1 - beta2) - 1;
  const decayed = beta2 ** t;
  const samples = most - (2 * t * decayed) / (1 - decayed);
  if (samples <= leastSamples) return undefined;
  const variance = (((samples - 4) / (most - 4)) * ((samples - 2) / samples) * most) / (most - 2);
  return Math.sqrt((1 - decayed) * variance);
}

/** A gradient of two axes or more without the mean of each of its rows. */
function centralized(gradient: Float32Array, shape: readonly number[]): (i: number) => number {
  if (shape.length < 2) return (i) => gradient[i]!;
  const width = sizeOf(shape.slice(1));
  const means = Float64Array.from({ length: shape[0]! }, (_, row) => {
    const values = gradient.subarray(row * width, (row + 1) * width);
    return values.reduce((sum, value) => sum + value, 0) / width;
  });
  return (i) => gradient[i]! - means[Math.floor(i / width)]!;
}
