import { adamwWasm } from "./adamw-wasm.ts";
import { sizeOf } from "../../core/shape.ts";
import type { OptimizedParameter } from "./optimizer.ts";

/** The numbers of one update. */
export interface AdamwStep {
  readonly gradientScale: number;
  readonly beta1: number;
  readonly beta2: number;
  /** learning rate / (1 − β₁ᵗ) */
  readonly stepSize: number;
  /** 1 / √(1 − β₂ᵗ) */
  readonly rootScale: number;
  readonly epsilon: number;
  /** learning rate · weight decay */
  readonly decay: number;
}

/** The moving average of a parameter's gradients, or of their squares. */
export type Moment = "first" | "second";

/** The part of WebAssembly's interface used here; Node's types lack it. */
const { WebAssembly } = globalThis as unknown as {
  WebAssembly: {
    Memory: new (limits: { initial: number }) => { readonly buffer: ArrayBuffer };
    instantiate(bytes: Uint8Array, imports: object): Promise<{ instance: { exports: unknown } }>;
  };
};

/** `step` of adamw.wat; the first five are a count and addresses. */
type Kernel = (count: number, p: number, g: number, m: number, v: number, ...step: readonly number[]) => void;

const pageBytes = 65_536;
/** Parameters copied to the kernel's memory at once: with their gradients they fit the second-level cache. */
const chunk = 8192;
const scratchBytes = 2 * 4 * chunk;

/** The address of a parameter's first moments in the kernel's memory; the second moments follow. */
interface Place {
  readonly parameter: OptimizedParameter;
  readonly address: number;
}

/**
 * The moments of some parameters, and the pass that updates both. The moments are in the kernel's memory; parameters and gradients
 * are copied through it.
 */
export class AdamwPart {
  readonly #kernel: Kernel;
  readonly #buffer: ArrayBuffer;
  readonly #places: ReadonlyMap<string, Place>;

  private constructor(kernel: Kernel, buffer: ArrayBuffer, places: ReadonlyMap<string, Place>) {
    [this.#kernel, this.#buffer, this.#places] = [kernel, buffer, places];
  }

  static async create(parameters: readonly OptimizedParameter[]): Promise<AdamwPart> {
    let end = scratchBytes;
    const places = new Map(
      parameters.map((parameter) => {
        const address = end;
        end += 2 * paddedBytes(sizeOf(parameter.shape));
        return [parameter.path, { parameter, address }];
      }),
    );
    const memory = new WebAssembly.Memory({ initial: Math.ceil(end / pageBytes) });
    const { instance } = await WebAssembly.instantiate(Buffer.from(adamwWasm, "base64"), { host: { memory } });
    return new AdamwPart((instance.exports as { step: Kernel }).step, memory.buffer, places);
  }

  /** Updates parameters and moments in place. */
  step(
    { gradientScale, beta1, beta2, stepSize, rootScale, epsilon, decay }: AdamwStep,
    parameters: ReadonlyMap<string, Float32Array>,
    gradients: ReadonlyMap<string, Float32Array>,
  ): void {
    const p = new Float32Array(this.#buffer, 0, chunk);
    const g = new Float32Array(this.#buffer, 4 * chunk, chunk);
    for (const [path, { parameter, address }] of this.#places) {
      const [values, gradient] = [parameters.get(path)!, gradients.get(path)!];
      const [first, second] = [address, address + paddedBytes(sizeOf(parameter.shape))];
      const { rateScale = 1 } = parameter;
      const rate = stepSize * rateScale;
      const keep = parameter.decay ? 1 - decay * rateScale : 1;
      for (let start = 0; start < values.length; start += chunk) {
        const part = values.subarray(start, start + chunk);
        p.set(part);
        g.set(gradient.subarray(start, start + chunk));
        // The kernel works on four numbers at a time; padding is never copied back.
        const count = Math.ceil(part.length / 4) * 4;
        const [m, v] = [first + 4 * start, second + 4 * start];
        this.#kernel(count, 0, 4 * chunk, m, v, gradientScale, beta1, beta2, rate, rootScale, epsilon, keep);
        part.set(part.length === chunk ? p : p.subarray(0, part.length));
      }
    }
  }

  /** A copy. */
  read(moment: Moment, path: string): Float32Array {
    return this.#view(moment, path).slice();
  }

  write(moment: Moment, path: string, values: Float32Array): void {
    this.#view(moment, path).set(values);
  }

  #view(moment: Moment, path: string): Float32Array {
    const { parameter, address } = this.#places.get(path)!;
    const size = sizeOf(parameter.shape);
    return new Float32Array(this.#buffer, moment === "first" ? address : address + paddedBytes(size), size);
  }
}

/** Bytes of an array in the kernel's memory, padded to four numbers. */
function paddedBytes(size: number): number {
  return Math.ceil(size / 4) * 16;
}
