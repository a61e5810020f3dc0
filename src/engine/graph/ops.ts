import type { Dtype } from "../../core/dtype.ts";
import type { Dim, Shape } from "../../core/shape.ts";
import type { TensorData } from "../../core/tensor-data.ts";
import type { Tensor } from "./tensor.ts";

type One = readonly [Tensor];
type Two = readonly [Tensor, Tensor];
type Three = readonly [Tensor, Tensor, Tensor];
type None = Readonly<Record<never, never>>;

/** Location of a stored tensor's bytes in a file. */
export interface TensorPlace {
  readonly file: string;
  readonly byteOffset: number;
  readonly byteLength: number;
}

/**
 * The list of all ops, with their inputs and attributes. Shape, gradient and lowering rules are tables over it that
 * compile only if complete.
 */
export interface OpSignatures {
  // ── leaves ──
  /** Fed at each run. */
  input: { inputs: readonly []; attrs: { readonly name: string; readonly shape: Shape; readonly dtype: Dtype } };
  /** Part of the program. */
  constant: { inputs: readonly []; attrs: TensorData };
  /** Read from a weight file by ONNX Runtime. */
  stored: {
    inputs: readonly [];
    attrs: Omit<TensorData, "data"> & { readonly name: string; readonly place: TensorPlace };
  };

  // ── elementwise, broadcasting like NumPy ──
  add: { inputs: Two; attrs: None };
  sub: { inputs: Two; attrs: None };
  mul: { inputs: Two; attrs: None };
  div: { inputs: Two; attrs: None };
  neg: { inputs: One; attrs: None };
  exp: { inputs: One; attrs: None };
  log: { inputs: One; attrs: None };
  sqrt: { inputs: One; attrs: None };
  erf: { inputs: One; attrs: None };
  tanh: { inputs: One; attrs: None };
  sigmoid: { inputs: One; attrs: None };
  /** x where x > 0, else slope · x; slope 0 is ReLU. */
  leakyRelu: { inputs: One; attrs: { readonly slope: number } };
  /** x · Φ(x), exact or approximated by x · sigmoid(1.702 x) (CLIP's QuickGELU) or the tanh formula. */
  gelu: { inputs: One; attrs: { readonly approximation: "none" | "sigmoid" | "tanh" } };
  equal: { inputs: Two; attrs: None };
  greater: { inputs: Two; attrs: None };
  /** a where the condition holds, else b. */
  where: { inputs: Three; attrs: None };
  cast: { inputs: One; attrs: { readonly dtype: Dtype } };
  /** Identity without gradient. */
  stopGradient: { inputs: One; attrs: None };
  /** Identity whose dependents are not merged with those of x (autodiff's checkpoint). */
  recompute: { inputs: One; attrs: None };

  // ── reductions and normalizations ──
  sum: { inputs: One; attrs: { readonly axes: readonly number[]; readonly keepDims: boolean } };
  softmax: { inputs: One; attrs: { readonly axis: number } };
  logSoftmax: { inputs: One; attrs: { readonly axis: number } };
  /** (x − mean) / √(variance + ε) over the last axis, variance biased. */
  standardize: { inputs: One; attrs: { readonly epsilon: number } };
  /** 1 / √(variance + ε) over the last axis, kept with size 1. */
  inverseStd: { inputs: One; attrs: { readonly epsilon: number } };
  /** standardize(x) · weight + bias. */
  layerNorm: { inputs: Three; attrs: { readonly epsilon: number } };

  // ── products ──
  matmul: { inputs: Two; attrs: None };
  /** [N, C, H, W] with kernels [O, C, kH, kW]; equal stride and zero padding on both axes. */
  conv2d: { inputs: Two; attrs: { readonly stride: number; readonly padding: number } };
  /** Mean of non-overlapping size × size windows; a remainder at the end is dropped. */
  averagePool: { inputs: One; attrs: { readonly size: number } };

  // ── layout ──
  reshape: { inputs: One; attrs: { readonly shape: Shape } };
  expand: { inputs: One; attrs: { readonly shape: Shape } };
  transpose: { inputs: One; attrs: { readonly perm: readonly number[] } };
  concat: { inputs: readonly Tensor[]; attrs: { readonly axis: number } };
  /** `size` elements along one axis, every step-th from `start`; a symbolic size takes the first ones. */
  slice: {
    inputs: One;
    attrs: { readonly axis: number; readonly start: number; readonly size: Dim; readonly step: number };
  };
  /** Zeros before and after, per axis. */
  pad: { inputs: One; attrs: { readonly before: readonly number[]; readonly after: readonly number[] } };
  /** factor − 1 zeros between neighbours along one axis. */
  dilate: { inputs: One; attrs: { readonly axis: number; readonly factor: number } };
  /** Reversed along the axes. */
  flip: { inputs: One; attrs: { readonly axes: readonly number[] } };

  // ── tables ──
  /** Rows of a table [V, …] at indices [*]: [*, …]. */
  gather: { inputs: Two; attrs: None };
  /** A table of `rows` rows that sums the updates [*, …] at indices [*]; the transpose of gather. */
  scatterAdd: { inputs: Two; attrs: { readonly rows: number } };

  /** Indices of the k largest elements along the last axis, largest first, as int32. */
  topK: { inputs: One; attrs: { readonly k: number } };

  // ── quantized weights ──
  /**
   * The matrix [N, columns] from codes, uint8 [N, blocks, bytes], and a scale per block, [N, blocks]: (code − 2^(bits −
   * 1)) · scale. With 4 bits, the first code of a byte is in the lower half. Codes beyond the columns are ignored. A
   * matrix product with its transpose does not materialize the matrix, and rounds the left operand's rows to 8 bits,
   * scaled by the largest number of each block.
   */
  dequantize: { inputs: Two; attrs: { readonly columns: number; readonly bits: 4 | 8 } };
}

export type OpName = keyof OpSignatures;
