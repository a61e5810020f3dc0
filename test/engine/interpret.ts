import { readFileSync } from "node:fs";
import { parseDim, type Shape } from "../../src/core/shape.ts";
import type { TensorData } from "../../src/core/tensor-data.ts";
import type { OpName, OpSignatures } from "../../src/engine/graph/ops.ts";
import { reachable, type Tensor } from "../../src/engine/graph/tensor.ts";

/** A concrete tensor of double-precision numbers; bool is 0 or 1. */
export interface Values {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

interface Context {
  readonly feeds: Readonly<Record<string, TensorData>>;
  /** A shape with numbers for symbols. */
  readonly sizes: (shape: Shape) => number[];
}

type Evaluate<Name extends OpName> = (
  inputs: readonly Values[],
  attrs: OpSignatures[Name]["attrs"],
  context: Context,
) => Values;

/** What a program gives, evaluated op by op in double precision, by the definition of each op and nothing else. */
export function interpret(
  outputs: Readonly<Record<string, Tensor>>,
  feeds: Readonly<Record<string, TensorData>> = {},
): Record<string, Values> {
  const results = new Map<Tensor, Values>();
  const symbols = new Map<string, number>();
  const size = (dim: string | number) => {
    const { factor, symbols: names } = parseDim(dim);
    return names.reduce((total, name) => total * symbols.get(name)!, factor);
  };
  const context: Context = { feeds, sizes: (shape) => shape.map(size) };
  const tensors = reachable(Object.values(outputs));
  for (const { op, name, shape } of tensors) {
    if (op !== "input") continue;
    shape.forEach((dim, axis) => typeof dim === "string" && symbols.set(dim, feeds[name!]!.shape[axis]!));
  }
  for (const tensor of tensors) {
    const evaluate = definitions[tensor.op] as Evaluate<"neg">;
    const inputs = tensor.inputs.map((x) => results.get(x)!);
    results.set(tensor, evaluate(inputs, tensor.attrs, context));
  }
  return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, results.get(tensor)!]));
}

const definitions: { readonly [Name in OpName]: Evaluate<Name> } = {
  input: (_, { name }, { feeds }) => fromData(feeds[name]!),
  constant: (_, attrs) => fromData(attrs),
  stored: (_, { shape, dtype, place: { file, byteOffset, byteLength } }) => {
    const bytes = Uint8Array.from(readFileSync(file).subarray(byteOffset, byteOffset + byteLength)).buffer;
    const data = dtype === "float16" ? new Uint16Array(bytes) : new Float32Array(bytes);
    return fromData({ shape, dtype, data });
  },

  add: elementwise((a, b) => a + b),
  sub: elementwise((a, b) => a - b),
  mul: elementwise((a, b) => a * b),
  div: elementwise((a, b) => a / b),
  neg: elementwise((x) => -x),
  exp: elementwise(Math.exp),
  log: elementwise(Math.log),
  sqrt: elementwise(Math.sqrt),
  erf: elementwise(erf),
  tanh: elementwise(Math.tanh),
  sigmoid: elementwise((x) => 1 / (1 + Math.exp(-x))),
  leakyRelu: ([x], { slope }) => map(x!, (value) => (value > 0 ? value : slope * value)),
  gelu: ([x], { approximation }) => map(x!, (value) => value * cumulative[approximation](value)),
  equal: elementwise((a, b) => Number(a === b)),
  greater: elementwise((a, b) => Number(a > b)),
  where: elementwise((condition, a, b) => (condition ? a : b)),
  cast: ([x], { dtype }) =>
    map(x!, (value) => (dtype === "bool" ? Number(value !== 0) : dtype.startsWith("int") ? Math.trunc(value) : value)),
  stopGradient: ([x]) => x!,
  recompute: ([x]) => x!,

  sum: ([x], { axes, keepDims }) => {
    const kept = x!.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
    const sums = make(kept, () => 0).data.slice();
    for (const index of indices(x!.shape)) sums[offset(kept, index)]! += at(x!, index);
    return { shape: keepDims ? kept : kept.filter((_, axis) => !axes.includes(axis)), data: sums };
  },
  softmax: ([x], { axis }) => alongAxis(x!, axis, (row, i) => Math.exp(logSoftmax(row, i))),
  logSoftmax: ([x], { axis }) => alongAxis(x!, axis, logSoftmax),
  standardize: ([x], { epsilon }) => alongAxis(x!, -1, (row, i) => (row[i]! - mean(row)) * inverseStd(row, epsilon)),
  inverseStd: ([x], { epsilon }) =>
    make([...x!.shape.slice(0, -1), 1], (index) => inverseStd(rowOf(x!, -1, index), epsilon)),
  layerNorm: ([x, weight, bias], { epsilon }) =>
    alongAxis(x!, -1, (row, i) => (row[i]! - mean(row)) * inverseStd(row, epsilon) * weight!.data[i]! + bias!.data[i]!),

  matmul: ([a, b]) => {
    const inner = a!.shape.at(-1)!;
    const batch = broadcast([a!.shape.slice(0, -2), b!.shape.slice(0, -2)]);
    return make([...batch, a!.shape.at(-2)!, b!.shape.at(-1)!], (index) => {
      const [row, column] = index.slice(-2) as [number, number];
      const leading = index.slice(0, -2);
      return sum(inner, (k) => at(a!, [...leading, row, k]) * at(b!, [...leading, k, column]));
    });
  },
  conv2d: ([x, kernel], { stride, padding }) => {
    const [images, channels, height, width] = x!.shape as readonly [number, number, number, number];
    const [outputs, , kernelHeight, kernelWidth] = kernel!.shape as readonly [number, number, number, number];
    const windows = (size: number, kernelSize: number) => Math.floor((size + 2 * padding - kernelSize) / stride) + 1;
    const pixel = (n: number, c: number, row: number, column: number) =>
      row < 0 || column < 0 || row >= height || column >= width ? 0 : at(x!, [n, c, row, column]);
    return make([images, outputs, windows(height, kernelHeight), windows(width, kernelWidth)], ([n, o, row, column]) =>
      sum(channels, (c) =>
        sum(kernelHeight, (i) =>
          sum(kernelWidth, (j) => {
            const place = pixel(n!, c, row! * stride + i - padding, column! * stride + j - padding);
            return place * at(kernel!, [o!, c, i, j]);
          }),
        ),
      ),
    );
  },
  averagePool: ([x], { size }) => {
    const shape = x!.shape.map((side, axis) => (axis < 2 ? side : Math.floor(side / size)));
    return make(
      shape,
      ([n, c, row, column]) =>
        sum(size, (i) => sum(size, (j) => at(x!, [n!, c!, row! * size + i, column! * size + j]))) / size ** 2,
    );
  },

  reshape: ([x], { shape }, { sizes }) => ({ shape: sizes(shape), data: x!.data }),
  expand: ([x], { shape }, { sizes }) => make(sizes(shape), (index) => at(x!, index)),
  transpose: ([x], { perm }) => {
    const shape = perm.map((axis) => x!.shape[axis]!);
    return make(shape, (index) =>
      at(
        x!,
        x!.shape.map((_, axis) => index[perm.indexOf(axis)]!),
      ),
    );
  },
  concat: (inputs, { axis }) => {
    const shape = [...inputs[0]!.shape];
    shape[axis] = inputs.reduce((total, x) => total + x.shape[axis]!, 0);
    return make(shape, (index) => {
      let place = index[axis]!;
      const source = inputs.find((x) => (place -= x.shape[axis]!) < 0)!;
      return at(source, index.with(axis, place + source.shape[axis]!));
    });
  },
  slice: ([x], { axis, start, size, step }) =>
    make(x!.shape.with(axis, size as number), (index) => at(x!, index.with(axis, start + index[axis]! * step))),
  pad: ([x], { before, after }) =>
    make(
      x!.shape.map((size, axis) => before[axis]! + size + after[axis]!),
      (index) => {
        const inside = index.map((place, axis) => place - before[axis]!);
        return inside.every((place, axis) => place >= 0 && place < x!.shape[axis]!) ? at(x!, inside) : 0;
      },
    ),
  dilate: ([x], { axis, factor }) =>
    make(x!.shape.with(axis, (x!.shape[axis]! - 1) * factor + 1), (index) =>
      index[axis]! % factor === 0 ? at(x!, index.with(axis, index[axis]! / factor)) : 0,
    ),
  flip: ([x], { axes }) =>
    make(x!.shape, (index) =>
      at(
        x!,
        index.map((place, axis) => (axes.includes(axis) ? x!.shape[axis]! - 1 - place : place)),
      ),
    ),

  gather: ([table, places]) => {
    const rank = places!.shape.length;
    return make([...places!.shape, ...table!.shape.slice(1)], (index) =>
      at(table!, [at(places!, index.slice(0, rank)), ...index.slice(rank)]),
    );
  },
  scatterAdd: ([updates, places], { rows }) => {
    const rank = places!.shape.length;
    const shape = [rows, ...updates!.shape.slice(rank)];
    const sums = make(shape, () => 0).data.slice();
    for (const index of indices(updates!.shape)) {
      sums[offset(shape, [at(places!, index.slice(0, rank)), ...index.slice(rank)])]! += at(updates!, index);
    }
    return { shape, data: sums };
  },
  topK: ([x], { k }) => {
    const rank = x!.shape.length;
    const sorted = (row: readonly number[]) =>
      Array.from({ length: x!.shape.at(-1)! }, (_, i) => i).sort((a, b) => at(x!, [...row, b]) - at(x!, [...row, a]));
    return make([...x!.shape.slice(0, -1), k], (index) => sorted(index.slice(0, rank - 1))[index.at(-1)!]!);
  },

  dequantize: ([codes, scales], { columns, bits }) => {
    const [rows, , bytes] = codes!.shape as readonly [number, number, number];
    const inByte = 8 / bits;
    return make([rows, columns], ([row, column]) => {
      const [block, place] = [Math.floor(column! / (bytes * inByte)), column! % (bytes * inByte)];
      const byte = at(codes!, [row!, block, Math.floor(place / inByte)]);
      const code = Math.floor(byte / 2 ** (bits * (place % inByte))) % 2 ** bits;
      return (code - 2 ** (bits - 1)) * at(scales!, [row!, block]);
    });
  },
};

/** The factor of x in each formula of x · Φ(x). */
const cumulative = {
  none: (x: number) => (1 + erf(x / Math.SQRT2)) / 2,
  sigmoid: (x: number) => 1 / (1 + Math.exp(-1.702 * x)),
  tanh: (x: number) => (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))) / 2,
};

/** The error function by its Taylor series: within 1e-9 for |x| ≤ 4. */
function erf(x: number): number {
  let [term, total] = [x, x];
  for (let n = 1; n < 100; n++) {
    term *= -(x ** 2) / n;
    total += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * total;
}

function logSoftmax(row: readonly number[], i: number): number {
  const largest = Math.max(...row);
  return row[i]! - largest - Math.log(sum(row.length, (k) => Math.exp(row[k]! - largest)));
}

function inverseStd(row: readonly number[], epsilon: number): number {
  return 1 / Math.sqrt(mean(row.map((value) => (value - mean(row)) ** 2)) + epsilon);
}

function mean(row: readonly number[]): number {
  return sum(row.length, (i) => row[i]!) / row.length;
}

function sum(count: number, term: (i: number) => number): number {
  let total = 0;
  for (let i = 0; i < count; i++) total += term(i);
  return total;
}

function fromData({ shape, dtype, data }: TensorData): Values {
  const numbers = Array.from(data as ArrayLike<number | bigint>, Number);
  return { shape, data: dtype === "float16" ? numbers.map(fromHalf) : numbers };
}

/** A half-precision number from its bits: sign, 5 of exponent, 10 of fraction. */
export function fromHalf(bits: number): number {
  const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}

function make(shape: readonly number[], value: (index: readonly number[]) => number): Values {
  return { shape, data: Array.from(indices(shape), value) };
}

function map(x: Values, value: (x: number) => number): Values {
  return { shape: x.shape, data: x.data.map(value) };
}

/** Broadcasts the operands and applies the function at each place. */
function elementwise(value: (...operands: number[]) => number) {
  return (inputs: readonly Values[]): Values =>
    make(broadcast(inputs.map(({ shape }) => shape)), (index) => value(...inputs.map((x) => at(x, index))));
}

function alongAxis(x: Values, axis: number, value: (row: readonly number[], i: number) => number): Values {
  const place = axis < 0 ? axis + x.shape.length : axis;
  return make(x.shape, (index) => value(rowOf(x, place, index), index[place]!));
}

function rowOf(x: Values, axis: number, index: readonly number[]): number[] {
  const place = axis < 0 ? axis + x.shape.length : axis;
  return Array.from({ length: x.shape[place]! }, (_, i) => at(x, index.with(place, i)));
}

function broadcast(shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map(({ length }) => length));
  return Array.from({ length: rank }, (_, axis) =>
    Math.max(...shapes.map((shape) => shape[axis - rank + shape.length] ?? 1)),
  );
}

/** The element at an index; leading axes that the tensor lacks are dropped, and axes of size 1 repeat. */
function at(x: Values, index: readonly number[]): number {
  return x.data[offset(x.shape, index.slice(index.length - x.shape.length))]!;
}

function offset(shape: readonly number[], index: readonly number[]): number {
  return shape.reduce((place, size, axis) => place * size + (size === 1 ? 0 : index[axis]!), 0);
}

function* indices(shape: readonly number[]): Generator<number[]> {
  const index = shape.map(() => 0);
  const count = shape.reduce((total, size) => total * size, 1);
  for (let n = 0; n < count; n++) {
    yield [...index];
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis]! === shape[axis]; axis--) index[axis] = 0;
  }
}
