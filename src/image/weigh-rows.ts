/**
 * The inner loop of resizing, in WebAssembly: a vector instruction weighs the four channels of a pixel at once, which
 * is five times as fast as JavaScript. The program is `body`, one line a thought; `Kernel` says what it computes.
 */

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

// Local variables: the eight parameters, six more integers, one vector.
const [source, sourceStride, rowCount, taps, tapStride, outputs, result, resultStride] = [0, 1, 2, 3, 4, 5, 6, 7];
const [left, record, pixel, weight, weightEnd, target, sum] = [8, 9, 10, 11, 12, 13, 14];

// Instructions, with the opcodes of the WebAssembly specification; vectors hold four 32-bit lanes until narrowed.
const vector = (opcode: number, ...immediates: number[]) => [0xfd, ...unsignedLeb(opcode), ...immediates];
const get = (local: number) => [0x20, local];
const set = (local: number) => [0x21, local];
const constant = (value: number) => [0x41, ...signedLeb(value)];
const load = (offset: number) => [0x28, 2, offset];
const [loop, repeatIf, end] = [[0x03, 0x40], [0x0d, 0], [0x0b]];
const [less, add, multiply] = [[0x48], [0x6a], [0x6c]];
const [loadPixel, loadWeights, storePixel] = [vector(0x5c, 2, 0), vector(0x09, 2, 0), vector(0x5a, 2, 0, 0)];
const [splat, vectorAdd, vectorMultiply, shiftRight] = [vector(0x11), vector(0xae), vector(0xb5), vector(0xac)];
const [widenBytes, widenWords, toWords, toBytes] = [vector(0x89), vector(0xa9), vector(0x86), vector(0x66)];
const increase = (local: number, amount: number[]) => [get(local), amount, add, set(local)].flat();

const body = [
  [loop], // for each row
  [get(taps), set(record), get(result), set(target), get(outputs), set(left)],
  [loop], // for each output
  [get(record), load(0), constant(4), multiply, get(source), add, set(pixel)],
  [get(record), constant(8), add, set(weight)],
  [get(record), load(4), constant(4), multiply, get(weight), add, set(weightEnd)],
  [constant(1 << (precisionBits - 1)), splat, set(sum)], // one half: the shift below then rounds
  [loop], // for each tap
  [get(pixel), loadPixel, widenBytes, widenWords, get(weight), loadWeights, vectorMultiply],
  [get(sum), vectorAdd, set(sum)],
  [increase(pixel, constant(4)), increase(weight, constant(4))],
  [get(weight), get(weightEnd), less, repeatIf, end],
  [get(sum), constant(precisionBits), shiftRight, set(sum)],
  [get(target), get(sum), get(sum), toWords, get(sum), toBytes, storePixel], // narrowing clamps
  [increase(target, get(resultStride)), increase(record, get(tapStride))],
  [increase(left, constant(-1)), get(left), repeatIf, end],
  [increase(source, get(sourceStride)), increase(result, constant(4))],
  [increase(rowCount, constant(-1)), get(rowCount), repeatIf, end],
].flat(2);

/** The module around {@link body}: one memory, one function, both exported. */
function moduleBytes(): Uint8Array {
  const [i32, v128] = [0x7f, 0x7b];
  const section = (id: number, content: number[]) => [id, ...unsignedLeb(content.length), ...content];
  const name = (text: string) => [text.length, ...new TextEncoder().encode(text)];
  const code = [2, 6, i32, 1, v128, ...body, ...end];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 8, ...Array<number>(8).fill(i32), 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, 1]),
    ...section(7, [2, ...name("memory"), 2, 0, ...name("weighRows"), 0, 0]),
    ...section(10, [1, ...unsignedLeb(code.length), ...code]),
  ]);
}

function unsignedLeb(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsignedLeb(value >>> 7)];
}

function signedLeb(value: number): number[] {
  return value >= -64 && value < 64 ? [value & 127] : [(value & 127) | 128, ...signedLeb(value >> 7)];
}

// Not in the types of Node 20, though in every Node and browser.
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object) => { readonly exports: unknown };
};

let kernel: Kernel | undefined;

/** The program, compiled on first use, with at least `bytes` of memory; one per thread, and the memory stays. */
export function rowKernel(bytes: number): Kernel {
  kernel ??= new WebAssembly.Instance(new WebAssembly.Module(moduleBytes())).exports as Kernel;
  const missing = bytes - kernel.memory.buffer.byteLength;
  if (missing > 0) kernel.memory.grow(Math.ceil(missing / 65_536));
  return kernel;
}
