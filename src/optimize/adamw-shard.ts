import { adamwWasm } from "./adamw-wasm.ts";
import type { OptimizedParameter } from "./adamw.ts";

/** The numbers of one update, worked out from the options and the count of updates. */
export interface AdamwStep {
  readonly gradientScale: number;
  readonly beta1: number;
  readonly beta2: number;
  /** learning rate / (1 − β₁ᵗ) */
  readonly stepSize: number;
  /** 1 / √(1 − β₂ᵗ) */
  readonly rootScale: number;
  readonly epsilon: number;
  /** 1 − learning rate · weight decay */
  readonly keep: number;
}

/** First and second moment of each parameter, by path. */
export type Moments = ReadonlyMap<string, { readonly first: Float32Array; readonly second: Float32Array }>;

/** The parts of WebAssembly's interface that are used; Node's types do not have it. */
const { WebAssembly } = globalThis as unknown as {
  WebAssembly: { instantiate(bytes: Uint8Array): Promise<{ instance: { exports: unknown } }> };
};

interface Kernel {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly step: (
    count: number,
    stride: number,
    gradientScale: number,
    beta1: number,
    beta2: number,
    stepSize: number,
    rootScale: number,
    epsilon: number,
    keep: number,
  ) => void;
}

/** Numbers that go through the kernel at once: four arrays of them fit the second-level cache. */
const chunk = 8192;
/** Bytes from array to array; not a power of two, so that the four do not share cache lines. */
const stride = chunk * 4 + 256;

/** The moments of some parameters, and the pass over memory that updates both. */
export class AdamwShard {
  readonly #kernel: Kernel;
  readonly #views: readonly Float32Array[];
  readonly #moments: Moments;
  readonly #parameters: readonly OptimizedParameter[];

  private constructor(kernel: Kernel, parameters: readonly OptimizedParameter[]) {
    this.#kernel = kernel;
    this.#views = [0, 1, 2, 3].map((i) => new Float32Array(kernel.memory.buffer, i * stride, chunk));
    this.#parameters = parameters;
    this.#moments = new Map(
      parameters.map(({ path, size }) => [path, { first: new Float32Array(size), second: new Float32Array(size) }]),
    );
  }

  static async create(parameters: readonly OptimizedParameter[]): Promise<AdamwShard> {
    const { instance } = await WebAssembly.instantiate(Buffer.from(adamwWasm, "base64"));
    return new AdamwShard(instance.exports as Kernel, parameters);
  }

  /** Updates parameters and moments in place. */
  step(
    step: AdamwStep,
    parameters: ReadonlyMap<string, Float32Array>,
    gradients: ReadonlyMap<string, Float32Array>,
  ): void {
    for (const { path, decay } of this.#parameters) {
      const { first, second } = this.#moments.get(path)!;
      this.#update(step, decay ? step.keep : 1, parameters.get(path)!, first, second, gradients.get(path)!);
    }
  }

  moments(): Moments {
    return new Map(
      Array.from(this.#moments, ([path, { first, second }]) => [
        path,
        { first: first.slice(), second: second.slice() },
      ]),
    );
  }

  restore(moments: Moments): void {
    for (const [path, { first, second }] of this.#moments) {
      first.set(moments.get(path)!.first);
      second.set(moments.get(path)!.second);
    }
  }

  #update(step: AdamwStep, keep: number, ...arrays: readonly Float32Array[]): void {
    const { gradientScale, beta1, beta2, stepSize, rootScale, epsilon } = step;
    const size = arrays[0]!.length;
    for (let start = 0; start < size; start += chunk) {
      const end = Math.min(start + chunk, size);
      const parts = arrays.map((array) => array.subarray(start, end));
      parts.forEach((part, i) => this.#views[i]!.set(part));
      // The kernel takes four at a time; what lies behind the last number is never fetched back.
      const count = Math.ceil((end - start) / 4) * 4;
      this.#kernel.step(count, stride, gradientScale, beta1, beta2, stepSize, rootScale, epsilon, keep);
      for (const i of [0, 1, 2]) parts[i]!.set(this.#views[i]!.subarray(0, end - start));
    }
  }
}
