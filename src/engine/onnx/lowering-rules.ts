import { zeros } from "../../core/dtype.ts";
import { divideDims, product } from "../../core/shape.ts";
import { float32 } from "../../core/tensor-data.ts";
import type { OpName, OpSignatures } from "../graph/ops.ts";
import { attrsOf, type Tensor } from "../graph/tensor.ts";
import { onnxDtypes } from "./encode.ts";
import type { Lowering } from "./lowering.ts";

type LoweringRule<Name extends OpName> = (
  lowering: Lowering,
  y: Tensor,
  inputs: OpSignatures[Name]["inputs"],
  attrs: OpSignatures[Name]["attrs"],
) => string;

/** Rule of an op with an exact equivalent in ONNX, without attributes. */
const same = (opType: string) => (l: Lowering, _: Tensor, inputs: readonly Tensor[]) =>
  l.emit(opType, l.values(inputs));

const microsoft = { domain: "com.microsoft" };

/** Table: op → ONNX nodes of opset 20 and ONNX Runtime's own domain; each rule returns the name of the value. */
export const loweringRules: { readonly [Name in OpName]: LoweringRule<Name> } = {
  input: (lowering, y) => lowering.input(y as Tensor & { op: "input" }),
  constant: (lowering, _y, _inputs, attrs) => lowering.constant(attrs),
  stored: (lowering, y) => lowering.stored(y as Tensor & { op: "stored" }),

  add: same("Add"),
  sub: same("Sub"),
  mul: same("Mul"),
  div: same("Div"),
  neg: same("Neg"),
  exp: same("Exp"),
  log: same("Log"),
  sqrt: same("Sqrt"),
  erf: same("Erf"),
  tanh: same("Tanh"),
  sigmoid: same("Sigmoid"),
  leakyRelu: (l, _, [x], { slope }) =>
    slope === 0 ? l.emit("Relu", [l.value(x)]) : l.emit("LeakyRelu", [l.value(x)], { alpha: { float: slope } }),
  gelu: (l, _, [x], { approximation }) =>
    approximation === "sigmoid"
      ? l.emit("QuickGelu", [l.value(x)], { alpha: { float: 1.702 } }, microsoft)
      : l.emit("Gelu", [l.value(x)], { approximate: approximation }),
  equal: same("Equal"),
  greater: same("Greater"),
  where: same("Where"),
  cast: (l, _, [x], { dtype }) => l.emit("Cast", [l.value(x)], { to: onnxDtypes[dtype] }),
  stopGradient: (l, _, [x]) => l.value(x),
  recompute: same("Identity"),

  // Σ x² in one pass over memory
  sum: (l, y, [x], { axes, keepDims }) => {
    const squared = x.op === "mul" && x.inputs[0] === x.inputs[1];
    if (!squared && isColumnSum(x, axes)) return columnSums(l, x, y);
    const value = l.value(squared ? x.inputs[0]! : x);
    return l.emit(squared ? "ReduceSumSquare" : "ReduceSum", [value, l.int64s(axes)], { keepdims: keepDims ? 1 : 0 });
  },
  softmax: (l, _, [x], { axis }) => l.emit("Softmax", [l.value(x)], { axis }),
  logSoftmax: (l, _, [x], { axis }) => l.emit("LogSoftmax", [l.value(x)], { axis }),
  standardize: (l, _, [x], attrs) => normalize(l, x, attrs, 0),
  inverseStd: (l, _, [x], attrs) => normalize(l, x, attrs, 2),
  layerNorm: (l, _, inputs, { epsilon }) =>
    l.emit("LayerNormalization", l.values(inputs), { axis: -1, epsilon: { float: epsilon } }),

  // Gemm reads a transposed matrix in place; MatMul would need a copy
  matmul: (l, _, [a, b]) => {
    const turned = b.op === "transpose" ? b.inputs[0] : undefined;
    if (turned?.op === "dequantize") return quantizedProduct(l, a, turned as Tensor & { op: "dequantize" });
    if (a.rank !== 2 || b.rank !== 2) return l.emit("MatMul", [l.value(a), l.value(b)]);
    const [left, right] = [a, b].map((x) => (x.op === "transpose" ? { x: x.inputs[0]!, trans: 1 } : { x, trans: 0 }));
    return l.emit("Gemm", [l.value(left!.x), l.value(right!.x)], { transA: left!.trans, transB: right!.trans });
  },
  conv2d: (l, _, [x, kernel], { stride, padding }) =>
    l.emit("Conv", l.values([x, kernel]), { strides: [stride, stride], pads: Array<number>(4).fill(padding) }),
  averagePool: (l, _, [x], { size }) =>
    l.emit("AveragePool", [l.value(x)], { kernel_shape: [size, size], strides: [size, size] }),

  // −1 replaces a single symbolic size
  reshape: (l, _, [x], { shape }) => {
    const open = shape.filter((dim) => typeof dim !== "number").length;
    return l.emit("Reshape", [
      l.value(x),
      open <= 1 ? l.int64s(shape.map((dim) => (typeof dim === "number" ? dim : -1))) : l.shape(shape),
    ]);
  },
  expand: (l, _, [x], { shape }) => l.emit("Expand", [l.value(x), l.shape(shape)]),
  transpose: (l, _, [x], { perm }) => l.emit("Transpose", [l.value(x)], { perm }),
  concat: (l, _, tensors, { axis }) => l.emit("Concat", l.values(tensors), { axis }),
  slice: (l, _, [x], { axis, start, size, step }) => {
    const end = typeof size === "number" ? l.int64s([start + (size - 1) * step + 1]) : l.shape([size]);
    return l.emit("Slice", [l.value(x), l.int64s([start]), end, l.int64s([axis]), l.int64s([step])]);
  },
  pad: (l, y, [x], { before, after }) => l.emit("Pad", [l.value(x), l.int64s([...before, ...after]), zero(l, y)]),
  // [n] → [n, 1] → zeros after each → [n · factor] → without the last zeros
  dilate: (l, y, [x], { axis, factor }) => {
    const split = [...x.shape.slice(0, axis + 1), 1, ...x.shape.slice(axis + 1)];
    const behind = split.map((_, i) => (i === axis + 1 ? factor - 1 : 0));
    const spread = l.emit("Pad", [
      l.emit("Reshape", [l.value(x), l.shape(split)]),
      l.int64s([...split.map(() => 0), ...behind]),
      zero(l, y),
    ]);
    const joined = x.shape.map((dim, i) => (i === axis ? (dim as number) * factor : dim));
    const whole = l.emit("Reshape", [spread, l.shape(joined)]);
    const end = l.int64s([y.shape[axis] as number]);
    return l.emit("Slice", [whole, l.int64s([0]), end, l.int64s([axis]), l.int64s([1])]);
  },
  flip: (l, _, [x], { axes }) => {
    const all = (n: number) => l.int64s(axes.map(() => n));
    return l.emit("Slice", [l.value(x), all(-1), all(-(2 ** 31)), l.int64s(axes), all(-1)]);
  },

  gather: (l, _, [table, indices]) => l.emit("Gather", [l.value(table), l.value(indices)], { axis: 0 }),
  topK: (l, _, [x], { k }) =>
    l.emit("Cast", [l.emit("TopK", [l.value(x), l.int64s([k])], { axis: -1 }, { output: 1 })], {
      to: onnxDtypes.int32,
    }),
  // ScatterND adds duplicates wrongly with several threads; ScatterElements does not, but needs an index per element
  scatterAdd: (l, y, [updates, indices]) => {
    const row = y.shape.slice(1);
    const count = product(indices.shape);
    const column = l.emit("Reshape", [
      l.emit("Cast", [l.value(indices)], { to: onnxDtypes.int64 }),
      l.int64s([-1, ...row.map(() => 1)]),
    ]);
    const places = l.emit("Expand", [column, l.shape([count, ...row])]);
    const rows = l.emit("Reshape", [l.value(updates), l.shape([count, ...row])]);
    // A computed zero: from a constant, ONNX Runtime would fold the table and keep it in memory.
    const first = l.emit("Slice", [column, l.int64s([0]), l.int64s([1]), l.int64s([0])]);
    const nothing = l.emit("Cast", [l.emit("Sub", [first, first])], { to: onnxDtypes[y.dtype] });
    const table = l.emit("Expand", [nothing, l.shape(y.shape)]);
    return l.emit("ScatterElements", [table, places, rows], { axis: 0, reduction: "add" });
  },

  // [N, blocks, bytes] → [N, blocks, blockSize] → [N, blocks · blockSize] → without the rest of each row's last block
  dequantize: (l, y, [codes, scales], { columns, bits }) => {
    const [rows, blocks, bytes] = codes.shape as readonly [number, number, number];
    const numbers = l.emit("Cast", [bits === 8 ? l.value(codes) : halves(l, codes)], { to: onnxDtypes.float32 });
    const centred = l.emit("Sub", [numbers, l.constant(float32([2 ** (bits - 1)], []))]);
    const scaled = l.emit("Mul", [
      l.emit("Reshape", [centred, l.int64s([rows, blocks, -1])]),
      l.emit("Reshape", [l.value(scales), l.int64s([rows, blocks, 1])]),
    ]);
    const whole = l.emit("Reshape", [scaled, l.int64s([rows, -1])]);
    const blockSize = (bytes * 8) / bits;
    return columns === blocks * blockSize
      ? whole
      : l.emit("Slice", [whole, l.int64s([0]), l.shape([y.shape[1]!]), l.int64s([1]), l.int64s([1])]);
  },
};

/** Unpacks 4-bit codes to uint8 [N, blocks, bytes, 2], the lower half first. */
function halves(l: Lowering, codes: Tensor): string {
  const byte = (value: number) => l.constant({ dtype: "uint8", shape: [], data: Uint8Array.of(value) });
  const parts = [
    l.emit("BitwiseAnd", [l.value(codes), byte(15)]),
    l.emit("BitShift", [l.value(codes), byte(4)], { direction: "RIGHT" }),
  ];
  const pairs = parts.map((part) => l.emit("Reshape", [part, l.shape([...codes.shape, 1])]));
  return l.emit("Concat", pairs, { axis: 3 });
}

/**
 * Computes x·Wᵀ from W's codes. Accuracy level 4 rounds x to 8 bits: several times faster than kernels that dequantize
 * W at each run, and no less accurate than the weights.
 */
function quantizedProduct(l: Lowering, x: Tensor, weight: Tensor & { op: "dequantize" }): string {
  const [codes, scales] = weight.inputs as readonly [Tensor, Tensor];
  const { columns, bits } = attrsOf<"dequantize">(weight);
  return l.emit(
    "MatMulNBits",
    [l.value(x), l.value(codes), l.value(scales)],
    {
      ...{ K: columns, N: weight.shape[0] as number, bits },
      ...{ block_size: ((codes.shape[2] as number) * 8) / bits, accuracy_level: 4 },
    },
    microsoft,
  );
}

/** True if only leading axes are summed, of a float32 tensor of fixed shape. */
function isColumnSum(x: Tensor, axes: readonly number[]): boolean {
  const leading = axes.length < x.rank && axes.every((axis, i) => axis === i);
  return leading && x.dtype === "float32" && x.shape.every((dim) => typeof dim === "number");
}

/** Sums columns by a product with a row of ones: several times faster than ReduceSum, which uses one thread. */
function columnSums(l: Lowering, x: Tensor, y: Tensor): string {
  const columns = product(y.shape);
  const rows = divideDims(product(x.shape), columns) as number;
  const ones = l.emit("Expand", [l.constant(float32(Float32Array.of(1), [])), l.shape([1, rows])]);
  const sums = l.emit("Gemm", [ones, l.value(x.reshape([rows, columns]))]);
  return l.emit("Reshape", [sums, l.shape(y.shape)]);
}

function zero(l: Lowering, { dtype }: Tensor): string {
  return l.constant({ dtype, shape: [], data: zeros(dtype, 1) });
}

/** Emits LayerNormalization; output 0 is the result, output 2 the inverse standard deviation. */
function normalize(l: Lowering, x: Tensor, { epsilon }: { readonly epsilon: number }, output: 0 | 2): string {
  const width = x.shape.at(-1) as number;
  const ones = l.constant(float32(new Float32Array(width).fill(1), [width]));
  return l.emit("LayerNormalization", [l.value(x), ones], { axis: -1, epsilon: { float: epsilon } }, { output });
}
