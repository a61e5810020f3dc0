import { type Dtype, type TypedArray, zeros } from "../../core/dtype.ts";
import { ShapeError } from "../../core/errors.ts";
import { checkKind, checkOptions, flag, type Kind, number } from "../../core/options.ts";
import { type Dim, divideDims, normalizeAxis, product, sameShape, type Shape } from "../../core/shape.ts";
import type { TensorData } from "../../core/tensor-data.ts";
import { describe } from "./describe.ts";
import type { OpName, OpSignatures, TensorPlace } from "./ops.ts";
import { shapeRules } from "./shape-rules.ts";

let created = 0;

/**
 * A symbolic tensor: an op, its inputs and attributes, and the resulting shape and dtype. Nothing is computed until a
 * session runs the program, but a shape error throws on the line that makes it.
 *
 * Methods broadcast like NumPy and accept numbers as scalars.
 */
export class Tensor {
  readonly op: OpName;
  readonly inputs: readonly Tensor[];
  readonly attrs: OpSignatures[OpName]["attrs"];
  readonly shape: Shape;
  readonly dtype: Dtype;
  /** Increases with each new tensor, so inputs precede their users. */
  readonly id: number;
  /** Path in the model (`vision.blocks.3`), for messages and listings. */
  name?: string;

  /** Use `apply`, {@link input} or the methods. */
  constructor(op: OpName, inputs: readonly Tensor[], attrs: Tensor["attrs"], shape: Shape, dtype: Dtype) {
    [this.op, this.inputs, this.attrs, this.shape, this.dtype] = [op, inputs, attrs, shape, dtype];
    this.id = created++;
  }

  named(name: string): this {
    this.name = name;
    return this;
  }

  get rank(): number {
    return this.shape.length;
  }

  add(other: Tensor | number): Tensor {
    return apply("add", [this, scalarLike(this, other)], {});
  }
  sub(other: Tensor | number): Tensor {
    return apply("sub", [this, scalarLike(this, other)], {});
  }
  mul(other: Tensor | number): Tensor {
    return apply("mul", [this, scalarLike(this, other)], {});
  }
  div(other: Tensor | number): Tensor {
    return apply("div", [this, scalarLike(this, other)], {});
  }
  neg(): Tensor {
    return apply("neg", [this], {});
  }
  exp(): Tensor {
    return apply("exp", [this], {});
  }
  log(): Tensor {
    return apply("log", [this], {});
  }
  sqrt(): Tensor {
    return apply("sqrt", [this], {});
  }
  square(): Tensor {
    return this.mul(this);
  }
  erf(): Tensor {
    return apply("erf", [this], {});
  }
  tanh(): Tensor {
    return apply("tanh", [this], {});
  }
  sigmoid(): Tensor {
    return apply("sigmoid", [this], {});
  }
  relu(): Tensor {
    return this.leakyRelu(0);
  }
  leakyRelu(slope: number): Tensor {
    return apply("leakyRelu", [this], { slope });
  }
  gelu(approximation: "none" | "sigmoid" | "tanh"): Tensor {
    return apply("gelu", [this], { approximation });
  }
  /** Elementwise comparison, as bool. */
  equal(other: Tensor | number): Tensor {
    return apply("equal", [this, scalarLike(this, other)], {});
  }
  greater(other: Tensor | number): Tensor {
    return apply("greater", [this, scalarLike(this, other)], {});
  }
  cast(dtype: Dtype): Tensor {
    return dtype === this.dtype ? this : apply("cast", [this], { dtype });
  }
  /** Same value, but a constant for gradients. */
  stopGradient(): Tensor {
    return apply("stopGradient", [this], {});
  }

  /** Sum over axes (default all). */
  sum(axes?: number | readonly number[], options: { keepDims?: boolean } = {}): Tensor {
    checkOptions("sum", options, { keepDims: flag });
    const { keepDims = false } = options;
    const list = axes === undefined ? this.shape.map((_, axis) => axis) : typeof axes === "number" ? [axes] : axes;
    const sorted = [...new Set(list.map((axis) => this.#axis("sum", axis)))].sort((a, b) => a - b);
    return sorted.length === 0 ? this : apply("sum", [this], { axes: sorted, keepDims });
  }
  /** Mean over axes (default all), whose sizes must be numbers. */
  mean(axes?: number | readonly number[], options: { keepDims?: boolean } = {}): Tensor {
    checkOptions("mean", options, { keepDims: flag });
    const total = this.sum(axes, { keepDims: true });
    const count = divideDims(product(this.shape), product(total.shape));
    if (typeof count !== "number") throw new ShapeError("mean", "an axis has no fixed size", { input: describe(this) });
    return this.sum(axes, options).mul(1 / count);
  }
  softmax(axis: number): Tensor {
    return apply("softmax", [this], { axis: this.#axis("softmax", axis) });
  }
  logSoftmax(axis: number): Tensor {
    return apply("logSoftmax", [this], { axis: this.#axis("logSoftmax", axis) });
  }
  /** (x − mean) / √(variance + ε) over the last axis. */
  standardize(epsilon: number): Tensor {
    return apply("standardize", [this], { epsilon });
  }

  /** Matrix product of the last two axes; leading axes broadcast. */
  matmul(other: Tensor): Tensor {
    return apply("matmul", [this, other], {});
  }
  /** Transpose of the last two axes. */
  get T(): Tensor {
    if (this.rank < 2) throw new ShapeError("T", "needs two axes", { input: describe(this) });
    const perm = this.shape.map((_, axis) => axis);
    perm.push(...perm.splice(-2).reverse());
    return this.transpose(perm);
  }
  /** Permutes axes: axis i of the result is axis perm[i] of this. */
  transpose(perm: readonly number[]): Tensor {
    const isSame = perm.length === this.rank && perm.every((axis, i) => axis === i);
    return isSame ? this : apply("transpose", [this], { perm });
  }
  /** Same elements in another shape; one size may be −1 and is inferred. */
  reshape(shape: Shape): Tensor {
    if (shape.includes(-1)) {
      const rest = product(shape.filter((dim) => dim !== -1));
      const size = divideDims(product(this.shape), rest);
      const problem = `no size fits in place of −1 in [${shape.join(", ")}]`;
      if (size === undefined || shape.indexOf(-1) !== shape.lastIndexOf(-1))
        throw new ShapeError("reshape", problem, { input: describe(this) });
      shape = shape.map((dim) => (dim === -1 ? size : dim));
    }
    return sameShape(shape, this.shape) ? this : apply("reshape", [this], { shape });
  }
  /** Broadcasts to a shape by repeating axes of size 1 and adding leading ones. */
  expand(shape: Shape): Tensor {
    return sameShape(shape, this.shape) ? this : apply("expand", [this], { shape });
  }
  /**
   * Takes `size` elements along an axis, every step-th from `start`. A symbolic size requires start 0 and step 1; it
   * has no gradient, and the axis must be long enough at each run.
   */
  slice(axis: number, start: number, size: Dim, step = 1): Tensor {
    const at = this.#axis("slice", axis);
    return start === 0 && step === 1 && size === this.shape[at]
      ? this
      : apply("slice", [this], { axis: at, start, size, step });
  }
  /** Takes one index along an axis and removes the axis. */
  select(axis: number, index: number): Tensor {
    const at = this.#axis("select", axis);
    return this.slice(at, index, 1).reshape(this.shape.filter((_, i) => i !== at));
  }
  /** Pads with zeros before and after, per axis. */
  pad(before: readonly number[], after: readonly number[]): Tensor {
    return [...before, ...after].every((count) => count === 0) ? this : apply("pad", [this], { before, after });
  }
  /** Inserts factor − 1 zeros between neighbours along an axis. */
  dilate(axis: number, factor: number): Tensor {
    return factor === 1 ? this : apply("dilate", [this], { axis: this.#axis("dilate", axis), factor });
  }
  flip(axes: readonly number[]): Tensor {
    return apply("flip", [this], { axes: axes.map((axis) => this.#axis("flip", axis)) });
  }
  /** Rows of this table [V, …] at integer indices [*]. */
  gather(indices: Tensor): Tensor {
    return apply("gather", [this, indices], {});
  }
  /** Indices of the k largest elements along the last axis, largest first: int32 […, k]. */
  topK(k: number): Tensor {
    return apply("topK", [this], { k });
  }

  #axis(op: string, axis: number): number {
    const at = normalizeAxis(axis, this.rank);
    if (at === undefined) throw new ShapeError(op, `there is no axis ${axis}`, { input: describe(this) });
    return at;
  }
}

/** Applies an op. Throws a ShapeError at once, on the caller's line, if the inputs do not fit. */
export function apply<Name extends OpName>(
  op: Name,
  inputs: OpSignatures[Name]["inputs"],
  attrs: OpSignatures[Name]["attrs"],
): Tensor {
  for (const tensor of inputs) checkKind(`an input of ${op}`, tensor, tensorKind);
  const { shape, dtype } = shapeRules[op](inputs, attrs);
  return new Tensor(op, inputs, attrs, shape, dtype);
}

/** Attributes of a tensor of a known op. */
export function attrsOf<Name extends OpName>(tensor: Tensor & { op: Name }): OpSignatures[Name]["attrs"] {
  return tensor.attrs;
}

/** A tensor fed at each run. A string in the shape is a symbolic size, known only then. */
export function input(name: string, shape: Shape, dtype: Dtype = "float32"): Tensor {
  return apply("input", [], { name, shape, dtype }).named(name);
}

/** A tensor whose elements are part of the program. */
export function constant({ data, shape, dtype }: TensorData): Tensor {
  return apply("constant", [], { data, shape, dtype });
}

/** A tensor whose elements ONNX Runtime reads from a weight file. */
export function stored(name: string, shape: readonly number[], dtype: Dtype, place: TensorPlace): Tensor {
  return apply("stored", [], { name, shape, dtype, place }).named(name);
}

/** A number as a tensor without axes. Throws a ShapeError if the dtype cannot hold it. */
export function scalar(value: number, dtype: Dtype = "float32"): Tensor {
  if (dtype === "float16" || dtype === "bfloat16")
    throw new ShapeError("scalar", `${dtype} is for storage only`, {}, 'compute in float32: cast("float32")');
  if (dtype !== "float32" && !Number.isInteger(value))
    throw new ShapeError("scalar", `${dtype} cannot hold ${value}`, {}, 'compute in float32: cast("float32")');
  const data: TypedArray = zeros(dtype, 1);
  if (data instanceof BigInt64Array) data[0] = BigInt(value);
  else data[0] = value;
  return constant({ data, shape: [], dtype });
}

/** Concatenates tensors along an axis. */
export function concat(tensors: readonly Tensor[], axis: number): Tensor {
  const at = normalizeAxis(axis, tensors[0]?.rank ?? 0);
  if (at === undefined) throw new ShapeError("concat", `there is no axis ${axis}`);
  return tensors.length === 1 ? tensors[0]! : apply("concat", tensors, { axis: at });
}

/** Selects elementwise: a where the condition holds, else b. */
export function where(condition: Tensor, a: Tensor | number, b: Tensor | number): Tensor {
  const like = a instanceof Tensor ? a : b instanceof Tensor ? b : scalar(0);
  return apply("where", [condition, scalarLike(like, a), scalarLike(like, b)], {});
}

/** Cross-correlation, as in PyTorch, of [N, C, H, W] with kernels [O, C, kH, kW]. */
export function conv2d(
  x: Tensor,
  kernel: Tensor,
  options: { readonly stride?: number | undefined; readonly padding?: number | undefined } = {},
): Tensor {
  checkOptions("conv2d", options, { stride: number, padding: number });
  const { stride = 1, padding = 0 } = options;
  return apply("conv2d", [x, kernel], { stride, padding });
}

/** Mean of non-overlapping size × size windows. */
export function averagePool(x: Tensor, size: number): Tensor {
  return size === 1 ? x : apply("averagePool", [x], { size });
}

export const tensorKind: Kind = { wanted: "a Tensor", fits: (value) => value instanceof Tensor };

function scalarLike(tensor: Tensor, value: Tensor | number): Tensor {
  return typeof value === "number" ? scalar(value, tensor.dtype) : value;
}

/** All tensors that the outputs depend on, inputs before users. */
export function reachable(outputs: Iterable<Tensor>): Tensor[] {
  const seen = new Set<Tensor>();
  const stack = [...outputs];
  for (let tensor = stack.pop(); tensor; tensor = stack.pop()) {
    if (seen.has(tensor)) continue;
    seen.add(tensor);
    stack.push(...tensor.inputs);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}
