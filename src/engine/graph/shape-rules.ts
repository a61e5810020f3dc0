import { bytesPerElement, type Dtype } from "../../core/dtype.ts";
import { ShapeError } from "../../core/errors.ts";
import { broadcastShapes, type Dim, isSymbol, product, sameShape, type Shape } from "../../core/shape.ts";
import { describe } from "./describe.ts";
import type { OpName, OpSignatures } from "./ops.ts";
import type { Tensor } from "./tensor.ts";

interface Typed {
  readonly shape: Shape;
  readonly dtype: Dtype;
}

type ShapeRule<Name extends OpName> = (
  inputs: OpSignatures[Name]["inputs"],
  attrs: OpSignatures[Name]["attrs"],
) => Typed;

/** Table: op → shape and dtype of its output. Rules throw a ShapeError that lists the operands. */
export const shapeRules: { readonly [Name in OpName]: ShapeRule<Name> } = {
  input: (_, { name, shape, dtype }) => {
    checkSizes(`input "${name}"`, shape);
    return { shape, dtype };
  },
  constant: (_, { shape, dtype, data }) => {
    if (product(shape) !== data.length)
      throw new ShapeError("constant", `${data.length} elements cannot have shape [${shape.join(", ")}]`);
    return { shape, dtype };
  },
  stored: (_, { name, shape, dtype, place }) => {
    checkSizes(`stored "${name}"`, shape);
    const wanted = (product(shape) as number) * bytesPerElement(dtype);
    if (place.byteLength !== wanted)
      throw new ShapeError(
        `stored "${name}"`,
        `${dtype} [${shape.join(", ")}] needs ${wanted} bytes, but its place in ${place.file} has ${place.byteLength}`,
      );
    return { shape, dtype };
  },

  add: (inputs) => arithmetic("add", inputs),
  sub: (inputs) => arithmetic("sub", inputs),
  mul: (inputs) => arithmetic("mul", inputs),
  div: (inputs) => arithmetic("div", inputs),
  neg: ([x]) => floating("neg", x),
  exp: ([x]) => floating("exp", x),
  log: ([x]) => floating("log", x),
  sqrt: ([x]) => floating("sqrt", x),
  erf: ([x]) => floating("erf", x),
  tanh: ([x]) => floating("tanh", x),
  sigmoid: ([x]) => floating("sigmoid", x),
  leakyRelu: ([x]) => floating("leakyRelu", x),
  gelu: ([x]) => floating("gelu", x),
  equal: (inputs) => ({ ...broadcast("equal", inputs), dtype: "bool" }),
  greater: (inputs) => ({ ...broadcast("greater", inputs), dtype: "bool" }),
  where: ([condition, a, b]) => {
    if (condition.dtype !== "bool") throw misfit("where", "the condition must be bool", { condition });
    const { dtype } = broadcast("where", [a, b]);
    return { shape: broadcast("where", [condition, a, b], false).shape, dtype };
  },
  cast: ([x], { dtype }) => ({ shape: x.shape, dtype }),
  stopGradient: ([x]) => x,
  recompute: ([x]) => x,

  sum: ([x], { axes, keepDims }) => ({
    shape: x.shape.flatMap((dim, axis) => (axes.includes(axis) ? (keepDims ? [1] : []) : [dim])),
    dtype: x.dtype,
  }),
  softmax: ([x]) => floating("softmax", x),
  logSoftmax: ([x]) => floating("logSoftmax", x),
  standardize: ([x]) => {
    fixed("standardize", x, x.rank - 1);
    return floating("standardize", x);
  },
  inverseStd: ([x]) => {
    fixed("inverseStd", x, x.rank - 1);
    return { shape: [...x.shape.slice(0, -1), 1], dtype: floating("inverseStd", x).dtype };
  },
  layerNorm: ([x, weight, bias]) => {
    for (const parameter of [weight, bias]) {
      if (parameter.rank !== 1 || parameter.shape[0] !== x.shape.at(-1))
        throw misfit("layerNorm", "weight and bias must have the size of the last axis", { x, weight, bias });
    }
    return floating("layerNorm", x);
  },

  matmul: ([left, right]) => {
    if (left.rank < 2 || right.rank < 2) throw misfit("matmul", "both sides need two axes", { left, right });
    const [rows, inner] = left.shape.slice(-2) as [Dim, Dim];
    const [innerRight, columns] = right.shape.slice(-2) as [Dim, Dim];
    if (inner !== innerRight) throw misfit("matmul", `inner sizes differ, ${inner} and ${innerRight}`, { left, right });
    const batch = broadcastShapes(left.shape.slice(0, -2), right.shape.slice(0, -2));
    if (!batch) throw misfit("matmul", "leading sizes do not broadcast", { left, right });
    return { shape: [...batch, rows, columns], dtype: sameDtype("matmul", [left, right]) };
  },
  conv2d: ([x, kernel], { stride, padding }) => {
    if (x.rank !== 4 || kernel.rank !== 4)
      throw misfit("conv2d", "needs [N, C, H, W] and [O, C, kH, kW]", { x, kernel });
    if (x.shape[1] !== kernel.shape[1])
      throw misfit("conv2d", `${x.shape[1]} input channels, but the kernel has ${kernel.shape[1]}`, { x, kernel });
    whole("conv2d", "stride", stride);
    const spatial = [2, 3].map((axis) => {
      if (!(Number.isInteger(padding) && padding >= 0 && padding < fixed("conv2d", kernel, axis)))
        throw misfit(
          "conv2d",
          `the padding must be less than the kernel's size, not ${padding}`,
          { x, kernel },
          "pad(…) adds any number of zeros",
        );
      const size = Math.floor((fixed("conv2d", x, axis) + 2 * padding - fixed("conv2d", kernel, axis)) / stride) + 1;
      if (size < 1) throw misfit("conv2d", "the kernel is larger than the padded image", { x, kernel });
      return size;
    });
    return { shape: [x.shape[0]!, kernel.shape[0]!, ...spatial], dtype: sameDtype("conv2d", [x, kernel]) };
  },
  averagePool: ([x], { size }) => {
    if (x.rank !== 4) throw misfit("averagePool", "needs [N, C, H, W]", { x });
    whole("averagePool", "size", size);
    const spatial = [2, 3].map((axis) => Math.floor(fixed("averagePool", x, axis) / size));
    if (spatial.includes(0)) throw misfit("averagePool", `a window of ${size} is larger than the image`, { x });
    return { shape: [x.shape[0]!, x.shape[1]!, ...spatial], dtype: x.dtype };
  },

  reshape: ([x], { shape }) => {
    if (product(x.shape) !== product(shape))
      throw misfit(
        "reshape",
        `${product(x.shape)} elements cannot have shape [${shape.join(", ")}], which holds ${product(shape)}`,
        { x },
      );
    return { shape, dtype: x.dtype };
  },
  expand: ([x], { shape }) => {
    if (!sameShape(broadcastShapes(x.shape, shape) ?? [], shape))
      throw misfit("expand", `cannot become [${shape.join(", ")}]: only axes of size 1 repeat`, { x });
    return { shape, dtype: x.dtype };
  },
  transpose: ([x], { perm }) => {
    if (perm.length !== x.rank || perm.some((axis, i) => axis < 0 || axis >= x.rank || perm.indexOf(axis) !== i))
      throw misfit("transpose", `[${perm.join(", ")}] is not a permutation of ${x.rank} axes`, { x });
    return { shape: perm.map((axis) => x.shape[axis]!), dtype: x.dtype };
  },
  concat: (tensors, { axis }) => {
    const [first] = tensors as readonly [Tensor];
    const outside = (shape: Shape) => shape.filter((_, i) => i !== axis);
    if (!tensors.every(({ rank, shape }) => rank === first.rank && sameShape(outside(shape), outside(first.shape))))
      throw misfit("concat", `sizes differ outside axis ${axis}`, Object.fromEntries(tensors.entries()));
    const total = tensors.reduce((sum, tensor) => sum + fixed("concat", tensor, axis), 0);
    return { shape: first.shape.map((dim, i) => (i === axis ? total : dim)), dtype: sameDtype("concat", tensors) };
  },
  slice: ([x], { axis, start, size, step }) => {
    const available = fixed("slice", x, axis);
    const shape = x.shape.map((dim, i) => (i === axis ? size : dim));
    if (typeof size !== "number") {
      checkSizes("slice", [size]);
      if (start !== 0 || step !== 1)
        throw misfit("slice", `a symbolic size, "${size}", requires start 0 and step 1`, { x });
      return { shape, dtype: x.dtype };
    }
    whole("slice", "size", size);
    whole("slice", "step", step);
    whole("slice", "start", start, 0);
    if (start + (size - 1) * step >= available)
      throw misfit(
        "slice",
        `${size} elements from ${start} in steps of ${step} exceed axis ${axis} of size ${available}`,
        { x },
      );
    return { shape, dtype: x.dtype };
  },
  pad: ([x], { before, after }) => {
    if (before.length !== x.rank || after.length !== x.rank)
      throw misfit("pad", "needs a count for each side of each axis", { x });
    for (const count of [...before, ...after]) whole("pad", "count", count, 0);
    return {
      shape: x.shape.map((dim, i) =>
        before[i]! + after[i]! === 0 ? dim : fixed("pad", x, i) + before[i]! + after[i]!,
      ),
      dtype: x.dtype,
    };
  },
  dilate: ([x], { axis, factor }) => {
    whole("dilate", "factor", factor);
    return { shape: x.shape.with(axis, (fixed("dilate", x, axis) - 1) * factor + 1), dtype: x.dtype };
  },
  flip: ([x]) => x,

  gather: ([table, indices]) => {
    fixed("gather", table, 0);
    return { shape: [...integers("gather", indices), ...table.shape.slice(1)], dtype: table.dtype };
  },
  scatterAdd: ([updates, indices], { rows }) => {
    const places = integers("scatterAdd", indices);
    if (places.some((dim, axis) => dim !== updates.shape[axis]))
      throw misfit("scatterAdd", "the shape of updates must begin with that of indices", { updates, indices });
    return { shape: [rows, ...updates.shape.slice(places.length)], dtype: updates.dtype };
  },

  topK: ([x], { k }) => {
    floating("topK", x);
    whole("topK", "k", k);
    const size = fixed("topK", x, x.rank - 1);
    if (k > size) throw misfit("topK", `the last axis has ${size} elements, not ${k}`, { x });
    return { shape: [...x.shape.slice(0, -1), k], dtype: "int32" };
  },

  dequantize: ([codes, scales], { columns, bits }) => {
    const shown = { codes, scales };
    if (codes.dtype !== "uint8" || codes.rank !== 3)
      throw misfit("dequantize", "the codes must be uint8 [N, blocks, bytes]", shown);
    floating("dequantize", scales);
    if (!sameShape(scales.shape, codes.shape.slice(0, 2)))
      throw misfit("dequantize", "each block of codes needs a scale", shown);
    whole("dequantize", "number of columns", columns);
    const blockSize = (fixed("dequantize", codes, 2) * 8) / bits;
    if (blockSize < 16 || !Number.isInteger(Math.log2(blockSize)))
      throw misfit("dequantize", `the block size must be 16, 32, 64, …, not ${blockSize}`, shown);
    if (Math.ceil(columns / blockSize) !== codes.shape[1])
      throw misfit("dequantize", `${columns} columns do not match these blocks of ${blockSize}`, shown);
    return { shape: [codes.shape[0]!, columns], dtype: "float32" };
  },
};

function misfit(op: string, problem: string, tensors: Readonly<Record<string, Tensor>>, hint?: string): ShapeError {
  const operands = Object.entries(tensors).map(([role, tensor]) => [role, describe(tensor)] as const);
  return new ShapeError(op, problem, Object.fromEntries(operands), hint);
}

function broadcast(op: string, inputs: readonly Tensor[], oneDtype = true): Typed {
  const roles = inputs.length === 2 ? ["left", "right"] : ["condition", "a", "b"];
  const shape = broadcastShapes(...inputs.map((tensor) => tensor.shape));
  if (!shape) {
    const shown = Object.fromEntries(inputs.map((tensor, i) => [roles[i]!, tensor]));
    throw misfit(op, "shapes do not broadcast", shown, "sizes must be equal or 1, counted from the last axis");
  }
  return { shape, dtype: oneDtype ? sameDtype(op, inputs) : inputs[0]!.dtype };
}

function arithmetic(op: string, inputs: readonly Tensor[]): Typed {
  const typed = broadcast(op, inputs);
  if (["float16", "bfloat16", "uint8", "bool"].includes(typed.dtype)) floating(op, inputs[0]!);
  return typed;
}

function sameDtype(op: string, inputs: readonly Tensor[]): Dtype {
  const [first] = inputs as readonly [Tensor];
  const other = inputs.find((tensor) => tensor.dtype !== first.dtype);
  if (other) throw misfit(op, "dtypes differ", { one: first, other }, "cast one of them");
  return first.dtype;
}

function floating(op: string, x: Tensor): Typed {
  if (x.dtype !== "float32") throw misfit(op, "needs float32", { x }, 'use cast("float32")');
  return x;
}

function integers(op: string, indices: Tensor): Shape {
  if (indices.dtype !== "int32" && indices.dtype !== "int64")
    throw misfit(op, "indices must be int32 or int64", { indices });
  return indices.shape;
}

function whole(op: string, what: string, value: number, least = 1): void {
  if (!Number.isInteger(value) || value < least)
    throw new ShapeError(op, `the ${what} must be a whole number of at least ${least}, not ${value}`);
}

function checkSizes(op: string, shape: Shape): void {
  const wrong = shape.find((dim) => !(typeof dim === "number" ? Number.isInteger(dim) && dim > 0 : isSymbol(dim)));
  if (wrong !== undefined)
    throw new ShapeError(
      op,
      `a size must be a whole number of at least 1 or a name such as "batch", not ${JSON.stringify(wrong)}`,
    );
}

function fixed(op: string, x: Tensor, axis: number): number {
  const dim = x.shape[axis];
  if (dim === undefined) throw misfit(op, "needs at least one axis", { x });
  if (typeof dim !== "number") throw misfit(op, `axis ${axis} must have a fixed size, not "${dim}"`, { x });
  return dim;
}
