import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { float32, int32, type TensorData } from "../../src/core/tensor-data.ts";
import type { OpName } from "../../src/engine/graph/ops.ts";
import {
  apply,
  averagePool,
  concat,
  constant,
  conv2d,
  stored,
  type Tensor,
  where,
} from "../../src/engine/graph/tensor.ts";
import { type Program, randomInput } from "./gradient-error.ts";

const program = (title: string, inputs: readonly TensorData[], build: (...inputs: Tensor[]) => Tensor): Program => ({
  title,
  inputs,
  build,
});

const r = randomInput;
const positive = { low: 1, high: 2.5 };
const wide = { low: -3, high: 3 };

/** An op of two operands on equal shapes, and on shapes that broadcast: both ways, and with a number. */
function binary(op: (a: Tensor, b: Tensor | number) => Tensor, right = {}): Program[] {
  return [
    program("same shape", [r([2, 3]), r([2, 3], { seed: 2, ...right })], op),
    program("a row and a column", [r([1, 4]), r([3, 1], { seed: 2, ...right })], op),
    program("fewer axes on the left", [r([3]), r([2, 2, 3], { seed: 2, ...right })], op),
    program("one element on the right", [r([2, 3]), r([1, 1, 1], { seed: 2, ...right })], op),
    program("a number", [r([2, 3])], (a) => op(a, 1.5)),
  ];
}

function unary(op: (x: Tensor) => Tensor, range = {}): Program[] {
  return [program("matrix", [r([3, 4], range)], op)];
}

const image = (side: number, channels = 2) => r([2, channels, side, side]);
const kernel = (size: number, channels = 2) => r([3, channels, size, size], { seed: 2 });
const convolution = (side: number, size: number, settings: { stride?: number; padding?: number }) =>
  program(
    `${side}×${side}, kernel ${size}, stride ${settings.stride ?? 1}, padding ${settings.padding ?? 0}`,
    [image(side), kernel(size)],
    (x, k) => conv2d(x, k, settings),
  );

const weights = (() => {
  const file = join(mkdtempSync(join(tmpdir(), "clip-ts-")), "weights.bin");
  const elements = new Uint8Array(new Float32Array([0.5, -1.25, 3, 0.1, 2, -7]).buffer);
  writeFileSync(file, Buffer.concat([Buffer.from("odd"), elements]));
  return { file, byteOffset: 3, byteLength: 24 };
})();

/** [rows, columns] from every code there is, with a scale for each block of 16. */
function quantized(rows: number, columns: number, bits: 4 | 8): Tensor {
  const [blocks, bytes] = [Math.ceil(columns / 16), 2 * bits];
  const codes = Uint8Array.from({ length: rows * blocks * bytes }, (_, i) => (i * 73 + 21) % 256);
  const scales = Float32Array.from({ length: rows * blocks }, (_, i) => (i % 5) / 64);
  return apply(
    "dequantize",
    [
      constant({ dtype: "uint8", shape: [rows, blocks, bytes], data: codes }),
      constant(float32(scales, [rows, blocks])),
    ],
    { columns, bits },
  );
}

/**
 * Programs that try each op: shapes that broadcast, both ends of its attributes, axes from the back. An op without a
 * program does not compile. Each is checked forward, backward and as text.
 */
export const opPrograms: { readonly [Name in OpName]: readonly Program[] } = {
  input: [program("itself", [r([2, 3])], (x) => x)],
  constant: [program("times a constant", [r([2, 3])], (x) => x.mul(constant(float32([1, -2, 0.5], [3]))))],
  stored: [
    program("a matrix at an odd place of a file", [r([2, 2])], (x) =>
      x.matmul(stored("weight", [2, 3], "float32", weights)),
    ),
  ],

  add: binary((a, b) => a.add(b)),
  sub: binary((a, b) => a.sub(b)),
  mul: [...binary((a, b) => a.mul(b)), program("with itself", [r([5])], (x) => x.square())],
  div: binary((a, b) => a.div(b), positive),
  neg: unary((x) => x.neg()),
  exp: unary((x) => x.exp()),
  log: unary((x) => x.log(), positive),
  sqrt: unary((x) => x.sqrt(), positive),
  erf: unary((x) => x.erf(), wide),
  tanh: unary((x) => x.tanh(), wide),
  sigmoid: unary((x) => x.sigmoid(), wide),
  leakyRelu: [0, 0.2].map((slope) => program(`slope ${slope}`, [r([3, 4], { gap: 0.25 })], (x) => x.leakyRelu(slope))),
  gelu: (["none", "sigmoid", "tanh"] as const).map((approximation) =>
    program(approximation, [r([3, 4], wide)], (x) => x.gelu(approximation)),
  ),
  equal: [
    program("some are", [r([2, 3])], (x) => x.equal(x.mul(constant(float32([1, 2, 1], [3])))).cast("float32")),
    program("whole numbers", [r([3]), int32([1, 2, 3], [3]), int32([3, 2], [2, 1])], (x, a, b) =>
      x.mul(a.equal(b).cast("float32")),
    ),
  ],
  greater: [program("than a number", [r([2, 3], { gap: 0.25 })], (x) => x.greater(0).cast("float32"))],
  where: [
    program("chosen by a mask that broadcasts", [r([2, 3]), r([3], { seed: 2 }), int32([1, 0], [2, 1])], (a, b, mask) =>
      where(mask.equal(1), a, b),
    ),
    program("a number for one side", [r([2, 3]), int32([1, 0, 1], [3])], (a, mask) => where(mask.equal(0), a, 7)),
  ],
  cast: [
    program("of whole numbers", [int32([1, -2], [2]), r([2])], (n, x) => n.cast("float32").mul(x)),
    program("by way of half precision, which holds these numbers", [r([4])], (x) => x.cast("float16").cast("float32")),
    program("to whole numbers, where no gradient passes", [r([4], { low: 3.25, high: 3.5 })], (x) =>
      x.cast("int64").cast("float32"),
    ),
  ],
  stopGradient: [program("of a constant", [r([2])], (x) => x.mul(constant(float32([3], [1])).stopGradient()))],
  recompute: [program("itself", [r([2, 3])], (x) => apply("recompute", [x], {}).tanh())],

  sum: [
    program("all", [r([2, 3])], (x) => x.sum()),
    program("last axis", [r([2, 3])], (x) => x.sum(-1)),
    program("two axes, kept", [r([2, 3, 2])], (x) => x.sum([0, -1], { keepDims: true })),
    program("of squares", [r([2, 3])], (x) => x.square().sum(1)),
    program("mean", [r([2, 3, 2])], (x) => x.mean([1, 2])),
  ],
  softmax: [-1, 1].map((axis) => program(`axis ${axis}`, [r([2, 3, 4])], (x) => x.softmax(axis))),
  logSoftmax: [-1, 0].map((axis) => program(`axis ${axis}`, [r([3, 4])], (x) => x.logSoftmax(axis))),
  standardize: [program("rows", [r([3, 5])], (x) => x.standardize(1e-5))],
  inverseStd: [program("rows", [r([3, 5])], (x) => apply("inverseStd", [x], { epsilon: 1e-5 }))],
  layerNorm: [
    program("rows of a batch", [r([2, 2, 5]), r([5], { seed: 2 }), r([5], { seed: 3 })], (x, weight, bias) =>
      apply("layerNorm", [x, weight, bias], { epsilon: 1e-5 }),
    ),
  ],

  matmul: [
    program("matrices", [r([2, 3]), r([3, 4], { seed: 2 })], (a, b) => a.matmul(b)),
    program("transposed matrices", [r([3, 2]), r([4, 3], { seed: 2 })], (a, b) => a.T.matmul(b.T)),
    program("a batch by a matrix", [r([2, 2, 3]), r([3, 4], { seed: 2 })], (a, b) => a.matmul(b)),
    program("a matrix by a batch", [r([2, 3]), r([2, 3, 2], { seed: 2 })], (a, b) => a.matmul(b)),
    program("two batches", [r([2, 2, 2, 3]), r([2, 2, 3, 2], { seed: 2 })], (a, b) => a.matmul(b)),
    program("batches that broadcast", [r([2, 1, 2, 3]), r([3, 3, 2], { seed: 2 })], (a, b) => a.matmul(b)),
    program("a transposed batch", [r([2, 2, 3]), r([2, 4, 3], { seed: 2 })], (a, b) => a.matmul(b.T)),
  ],
  conv2d: [
    convolution(4, 1, {}),
    convolution(5, 1, { stride: 2 }),
    convolution(4, 3, { padding: 1 }),
    convolution(5, 3, {}),
    convolution(5, 3, { stride: 2, padding: 1 }),
    convolution(6, 3, { stride: 2, padding: 1 }),
    convolution(6, 3, { stride: 2 }),
    convolution(4, 2, { stride: 2 }),
    convolution(5, 2, { stride: 2 }),
    convolution(7, 2, { stride: 3, padding: 1 }),
    program("an oblong kernel", [r([1, 2, 4, 5]), r([2, 2, 2, 3], { seed: 2 })], (x, k) => conv2d(x, k)),
    program("an oblong kernel as wide as the stride", [r([1, 2, 4, 5]), r([2, 2, 1, 2], { seed: 2 })], (x, k) =>
      conv2d(x, k, { stride: 2 }),
    ),
  ],
  averagePool: [
    program("no remainder", [r([2, 2, 4, 4])], (x) => averagePool(x, 2)),
    program("a remainder", [r([1, 2, 5, 7])], (x) => averagePool(x, 3)),
  ],

  reshape: [program("with a size to be worked out", [r([2, 3, 2])], (x) => x.reshape([3, -1]))],
  expand: [program("an axis of 1 and a new one", [r([2, 1])], (x) => x.expand([2, 2, 3]))],
  transpose: [
    program("three axes in a circle", [r([2, 3, 4])], (x) => x.transpose([1, 2, 0])),
    program("the last two", [r([2, 3, 4])], (x) => x.T),
  ],
  concat: [
    program("three, the last axis", [r([2, 1]), r([2, 3], { seed: 2 }), r([2, 2], { seed: 3 })], (...all) =>
      concat(all, -1),
    ),
    program("itself, the first axis", [r([2, 2])], (x) => concat([x, x], 0)),
  ],
  slice: [
    program("the middle", [r([2, 5])], (x) => x.slice(-1, 1, 3)),
    program("in steps, with a rest", [r([6, 2])], (x) => x.slice(0, 1, 2, 3)),
    program("one index", [r([2, 3, 2])], (x) => x.select(-2, 1)),
  ],
  pad: [program("two axes, unevenly", [r([2, 3])], (x) => x.pad([1, 0], [0, 2]))],
  dilate: [
    program("the first axis", [r([3, 2])], (x) => x.dilate(0, 2)),
    program("the last axis, by three", [r([2, 3])], (x) => x.dilate(-1, 3)),
  ],
  flip: [
    program("both axes", [r([2, 3])], (x) => x.flip([0, -1])),
    program("the middle of three", [r([2, 3, 2])], (x) => x.flip([1])),
  ],

  gather: [
    program("rows, some of them twice", [r([4, 3]), int32([1, 3, 1, 0, 1, 3], [2, 3])], (table, places) =>
      table.gather(places),
    ),
    program(
      "numbers of a list, by int64",
      [r([4]), { dtype: "int64", shape: [3], data: BigInt64Array.of(2n, 2n, 0n) }],
      (table, places) => table.gather(places),
    ),
  ],
  scatterAdd: [
    program("rows, some of them to the same place", [r([2, 3, 2]), int32([1, 3, 1, 0, 1, 3], [2, 3])], (x, places) =>
      apply("scatterAdd", [x, places], { rows: 5 }),
    ),
  ],
  // Numbers so far apart that a small difference does not change their order
  topK: [
    program("of each row", [r([3, 7])], (x) => {
      const apart = x.add(constant(float32([12, 0, 18, 6, 15, 3, 9], [7])));
      return x.mul(apart.topK(2).slice(-1, 1, 1).cast("float32"));
    }),
    program("of a list, all of it", [r([3])], (x) =>
      x.mul(
        x
          .add(constant(float32([3, 9, 6], [3])))
          .topK(3)
          .cast("float32"),
      ),
    ),
  ],

  dequantize: ([4, 8] as const).flatMap((bits) => [
    program(`${bits} bits, whole blocks`, [r([2, 64])], (x) => x.mul(quantized(2, 64, bits))),
    program(`${bits} bits, a last block that is not full`, [r([3, 21])], (x) => x.mul(quantized(3, 21, bits))),
  ]),
};

/** All programs, by "op: title". */
export const allPrograms: readonly (readonly [string, Program])[] = Object.entries(opPrograms).flatMap(
  ([op, programs]) => programs.map((one) => [`${op}: ${one.title}`, one] as const),
);
