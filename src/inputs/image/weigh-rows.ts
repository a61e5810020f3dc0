/**
 * The inner loop of resizing, in WebAssembly: a vector instruction weighs the four channels of a pixel at once, which
 * is five times as fast as JavaScript. The program is weigh-rows.wat; `Kernel` says what it computes.
 */
import { weighRowsWasm } from "./weigh-rows-wasm.ts";

/** Weights are whole numbers in units of 2⁻²²: with 8-bit pixels and the lobes of a cubic the sums fit 32 bits. */
export const precisionBits = 22;

/** The compiled program and the memory it works on; addresses are in bytes, pixels are four bytes. */
export interface Kernel {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  /**
   * For each of `rowCount` rows and each of `outputs` positions: the weighted sum of input pixels, rounded and clamped
   * to 8 bits. A row's outputs are written `resultStride` bytes apart and rows side by side, that is transposed, so
   * that two calls resize in both directions and each reads memory in order.
   *
   * @param taps - For each output a record of `tapStride` bytes, all 32-bit integers: position of the first input pixel
   *   in its row, number of inputs (at least 1), that many weights.
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

// Not in the types of Node 20, though in every Node and browser.
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object) => { readonly exports: unknown };
};

let kernel: Kernel | undefined;

/** The program, compiled on first use, with at least `bytes` of memory; one per thread, and the memory stays. */
export function rowKernel(bytes: number): Kernel {
  kernel ??= new WebAssembly.Instance(new WebAssembly.Module(programBytes())).exports as Kernel;
  const missing = bytes - kernel.memory.buffer.byteLength;
  if (missing > 0) kernel.memory.grow(Math.ceil(missing / 65_536));
  return kernel;
}

/** atob, since Buffer is not in browsers. */
function programBytes(): Uint8Array {
  return Uint8Array.from(atob(weighRowsWasm), (character) => character.charCodeAt(0));
}
