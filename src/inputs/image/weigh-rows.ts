/**
 * The inner loop of resizing, in WebAssembly: a vector instruction handles the four channels of a pixel at once, five
 * times as fast as JavaScript. Its source is weigh-rows.wat; `Kernel` describes it.
 */
import { weighRowsWasm } from "./weigh-rows-wasm.ts";

/** Weights are integers in units of 2⁻²²: with 8-bit pixels and a cubic filter the sums fit 32 bits. */
export const precisionBits = 22;

/** The compiled kernel and its memory; addresses are in bytes, pixels take four bytes. */
export interface Kernel {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  /**
   * Computes, for each of `rowCount` rows and `outputs` positions, the weighted sum of input pixels, rounded and
   * clamped to 8 bits. The result is transposed: a row's outputs are `resultStride` bytes apart. So two calls resize in
   * both directions, and each reads memory in order.
   *
   * @param taps - For each output a record of `tapStride` bytes, as 32-bit integers: position of the first input pixel
   *   in its row, number of inputs (at least 1), and their weights.
   */
  readonly weighRows: (
    source: number,
    sourceStride: number,
    rowCount: number,
    taps: number,
    tapStride: number,
    outputs: number,
    result: number,
    resultStride: number,
  ) => void;
}

// Missing in the types of Node 20.
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object) => { readonly exports: unknown };
};

let kernel: Kernel | undefined;

/** The thread's kernel, compiled on first use, with at least `bytes` of memory, which never shrinks. */
export function rowKernel(bytes: number): Kernel {
  kernel ??= new WebAssembly.Instance(new WebAssembly.Module(programBytes())).exports as Kernel;
  const missing = bytes - kernel.memory.buffer.byteLength;
  if (missing > 0) kernel.memory.grow(Math.ceil(missing / 65_536));
  return kernel;
}

/** Uses atob, since browsers have no Buffer. */
function programBytes(): Uint8Array {
  return Uint8Array.from(atob(weighRowsWasm), (character) => character.charCodeAt(0));
}
