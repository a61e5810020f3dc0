import { availableParallelism } from "node:os";
import { checkOptions, numberFrom, type OptionKinds } from "../../core/options.ts";
import { sizeOf } from "../../core/shape.ts";
import { discard } from "../threads/discard.ts";
import { Remote } from "../threads/remote.ts";
import type { AdamwMethods } from "./adamw-worker.ts";
import { type OptimizedParameter, type Optimizer, updateKinds, type UpdateOptions } from "./optimizer.ts";
import { AdamwPart, type AdamwStep, type Moment } from "./adamw-part.ts";

/** Constants of AdamW; CLIP's are β₁ 0.9, β₂ 0.98, ε 1e-6, decay 0.2. */
export interface AdamwOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
}

const adamwKinds: OptionKinds<AdamwOptions> = {
  ...{ beta1: numberFrom(0, 1), beta2: numberFrom(0, 1), epsilon: numberFrom(0), weightDecay: numberFrom(0) },
};

/** Numbers below which a second thread costs more than it gives. */
const numbersPerThread = 4_000_000;
/** The moments of a thread are in one WebAssembly memory of at most 4 GiB; shares differ in size. */
const maxNumbersPerThread = 400_000_000;

/**
 * AdamW (Loshchilov and Hutter 2019) with decoupled weight decay, as in PyTorch; for a training loop of your own, where
 * {@link minimize} does not do. One pass over memory in WebAssembly, on several threads for large models; the result does not
 * depend on their number.
 */
export class AdamW implements Optimizer {
  readonly #options: AdamwOptions;
  readonly #own: AdamwPart;
  readonly #others: readonly AdamwThread[];
  /** Updates made; set it to continue from stored moments. */
  steps = 0;

  private constructor(options: AdamwOptions, own: AdamwPart, others: readonly AdamwThread[]) {
    [this.#options, this.#own, this.#others] = [options, own, others];
  }

  /** Starts with moments of 0. */
  static async create(
    options: AdamwOptions,
    parameters: readonly OptimizedParameter[],
    threads = availableParallelism(),
  ): Promise<AdamW> {
    checkOptions("AdamW", options, adamwKinds, ["beta1", "beta2", "epsilon", "weightDecay"]);
    const total = parameters.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    const wanted = Math.min(threads, Math.floor(total / numbersPerThread));
    const parts = split(parameters, Math.max(1, wanted, Math.ceil(total / maxNumbersPerThread)));
    const [own, ...others] = parts as [OptimizedParameter[], ...OptimizedParameter[][]];
    const threadsReady = Promise.all(others.map((part) => AdamwThread.create(part)));
    return new AdamW(options, await AdamwPart.create(own), await threadsReady);
  }

  async step(
    parameters: Map<string, Float32Array>,
    gradients: ReadonlyMap<string, Float32Array>,
    options: UpdateOptions,
  ): Promise<void> {
    checkOptions("AdamW.step", options, updateKinds, ["learningRate"]);
    const { learningRate, gradientScale = 1 } = options;
    const { beta1, beta2, epsilon, weightDecay } = this.#options;
    const t = ++this.steps;
    const step: AdamwStep = {
      ...{ beta1, beta2, epsilon, gradientScale },
      stepSize: learningRate / (1 - beta1 ** t),
      rootScale: 1 / Math.sqrt(1 - beta2 ** t),
      decay: learningRate * weightDecay,
    };
    const others = this.#others.map((thread) => thread.step(step, parameters, gradients));
    this.#own.step(step, parameters, gradients);
    await Promise.all(others);
    // Gradients that moved to other threads are empty here.
    discard([...gradients.values()].filter((gradient) => gradient.length > 0));
  }

  /** A copy of a moment of a parameter. */
  async read(moment: Moment, path: string): Promise<Float32Array> {
    return this.#holder(path).read(moment, path);
  }

  async write(moment: Moment, path: string, values: Float32Array): Promise<void> {
    await this.#holder(path).write(moment, path, values);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#others.map((thread) => thread.end()));
  }

  /** The part that holds a parameter. */
  #holder(path: string): AdamwPart | AdamwThread {
    return this.#others.find((thread) => thread.holds(path)) ?? this.#own;
  }
}

/** Assigns parameters, largest first, each to the smallest part so far. */
function split(parameters: readonly OptimizedParameter[], threads: number): OptimizedParameter[][] {
  const parts = Array.from({ length: threads }, () => ({ size: 0, parameters: [] as OptimizedParameter[] }));
  for (const parameter of parameters.toSorted((a, b) => sizeOf(b.shape) - sizeOf(a.shape))) {
    const smallest = parts.reduce((least, next) => (next.size < least.size ? next : least));
    smallest.parameters.push(parameter);
    smallest.size += sizeOf(parameter.shape);
  }
  return parts.map(({ parameters }) => parameters);
}

type Gradients = ReadonlyMap<string, Float32Array>;

/** A part on its own thread; parameters and gradients are moved there and back, not copied. */
class AdamwThread {
  readonly #paths: readonly string[];
  readonly #thread = new Remote<AdamwMethods>("engine/optimize/adamw-worker");

  private constructor(parameters: readonly OptimizedParameter[]) {
    this.#paths = parameters.map(({ path }) => path);
  }

  static async create(parameters: readonly OptimizedParameter[]): Promise<AdamwThread> {
    const thread = new AdamwThread(parameters);
    await thread.#thread.call("create", [parameters]);
    return thread;
  }

  async step(step: AdamwStep, parameters: Map<string, Float32Array>, gradients: Gradients): Promise<void> {
    const own = this.#only(parameters);
    const dys = this.#only(gradients);
    const updated = await this.#thread.call("step", [step, own, dys], [...own.values(), ...dys.values()]);
    for (const [path, values] of updated) parameters.set(path, values);
  }

  holds(path: string): boolean {
    return this.#paths.includes(path);
  }

  read(moment: Moment, path: string): Promise<Float32Array> {
    return this.#thread.call("read", [moment, path]);
  }

  write(moment: Moment, path: string, values: Float32Array): Promise<void> {
    return this.#thread.call("write", [moment, path, values]);
  }

  end(): Promise<void> {
    return this.#thread.end();
  }

  #only<Value>(values: ReadonlyMap<string, Value>): Map<string, Value> {
    return new Map(this.#paths.map((path) => [path, values.get(path)!]));
  }
}
