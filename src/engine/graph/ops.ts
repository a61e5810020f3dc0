import type { Dtype, TypedArray } from "../../core/dtype.ts";
import type { Dim, Shape } from "../../core/shape.ts";
import type { Tensor } from "./tensor.ts";

type One = readonly [Tensor];
type Two = readonly [Tensor, Tensor];
type Three = readonly [Tensor, Tensor, Tensor];
type None = Readonly<Record<never, never>>;

/** Where the bytes of a stored tensor lie: a file, and the place in it. */
export interface TensorPlace {
  readonly file: string;
  readonly byteOffset: number;
  readonly byteLength: number;
}

/**
 * Every op a graph can hold, once, with its inputs and attributes. Shape rules, gradient rules and lowering rules are
 * tables over this list that do not compile unless they are complete.
 */
export interface OpSignatures {
  // ── leaves ──
  /** Fed at each run. */
  input: { inputs: readonly []; attrs: { readonly name: string; readonly shape: Shape; readonly dtype: Dtype } };
  /** Held in the program. */
  constant: {
    inputs: readonly [];
    attrs: { readonly shape: readonly number[]; readonly dtype: Dtype; readonly data: TypedArray };
  };
  /** Held in a weight file and read from there by ONNX Runtime. */
  stored: {
    inputs: readonly [];
    attrs: {
      readonly name: string;
      readonly shape: readonly number[];
      readonly dtype: Dtype;
      readonly place: TensorPlace;
    };
  };

  // ── element by element, broadcasting as NumPy does ──
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
  /** x · Φ(x): exactly, or by CLIP's sigmoid(1.702 x) (QuickGELU), or by the tanh formula. */
  gelu: { inputs: One; attrs: { readonly approximation: "none" | "sigmoid" | "tanh" } };
  equal: { inputs: Two; attrs: None };
  greater: { inputs: Two; attrs: None };
  /** a where the condition holds, else b. */
  where: { inputs: Three; attrs: None };
  cast: { inputs: One; attrs: { readonly dtype: Dtype } };
  /** The value itself; no gradient passes. */
  stopGradient: { inputs: One; attrs: None };
  /** The value itself; what is computed from it is not shared with what is computed from x (autodiff's checkpoint). */
  recompute: { inputs: One; attrs: None };

  // ── reductions and normalisations ──
  sum: { inputs: One; attrs: { readonly axes: readonly number[]; readonly keepDims: boolean } };
  softmax: { inputs: One; attrs: { readonly axis: number } };
  logSoftmax: { inputs: One; attrs: { readonly axis: number } };
  /** (x − mean) / √(variance + ε) over the last axis, variance biased. */
  standardize: { inputs: One; attrs: { readonly epsilon: number } };
  /** 1 / √(variance + ε) over the last axis, which stays with size 1. */
  inverseStd: { inputs: One; attrs: { readonly epsilon: number } };
  /** standardize(x) · weight + bias. */
  layerNorm: { inputs: Three; attrs: { readonly epsilon: number } };

  // ── products ──
  matmul: { inputs: Two; attrs: None };
  /** [N, C, H, W] with kernels [O, C, kH, kW]; the same stride and zero padding on both axes. */
  conv2d: { inputs: Two; attrs: { readonly stride: number; readonly padding: number } };
  /** Mean of size × size windows that do not overlap; a remainder at the end is left out. */
  averagePool: { inputs: One; attrs: { readonly size: number } };

  // ── layout ──
  reshape: { inputs: One; attrs: { readonly shape: Shape } };
  expand: { inputs: One; attrs: { readonly shape: Shape } };
  transpose: { inputs: One; attrs: { readonly perm: readonly number[] } };
  concat: { inputs: readonly Tensor[]; attrs: { readonly axis: number } };
  /** Every step-th element from start, size of them, along one axis; with a symbolic size the first ones. */
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

  // ── weights of few bits ──
  /**
   * The matrix [N, columns] of whole numbers in uint8 [N, blocks, bytes] and a scale for each block, [N, blocks]:
   * (code − 2^(bits − 1)) · scale. Of two codes of 4 bits in a byte the first has the lower half; what a row's last block has
   * beyond the columns is not read. A matrix product with its transpose never makes the matrix, and rounds the rows on its left to
   * 8 bits, by the largest number in each block, as it goes.
   */
  dequantize: { inputs: Two; attrs: { readonly columns: number; readonly bits: 4 | 8 } };
}

/** The name of an op. */
export type OpName = keyof OpSignatures;
