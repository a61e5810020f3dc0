// Everything that can be imported from "clip-ts/graph": a tensor program as a value, its gradients, and ONNX Runtime to
// run it. Usable without CLIP.

import "./core/globals.ts";

/** Programs: leaves, and functions of several tensors; the rest are methods of Tensor. */
export { averagePool, concat, constant, conv2d, input, scalar, stored, Tensor, where } from "./graph/tensor.ts";
export { printProgram } from "./graph/print.ts";
export type { Dim, Shape } from "./core/shape.ts";
export type { OpName, OpSignatures, TensorPlace } from "./graph/ops.ts";

/** Elements that go into and come out of a program. */
export { float32, int32 } from "./core/tensor-data.ts";
export type { TensorData } from "./core/tensor-data.ts";
export type { Dtype, DtypeArrays, TypedArray } from "./core/dtype.ts";

/** Derivatives, which are tensors of the same program. */
export { checkpoint, gradients } from "./autodiff/gradients.ts";

/** A program to ONNX bytes. */
export { buildModel } from "./onnx/build.ts";
export type { OnnxModel } from "./onnx/build.ts";
export type { OnnxValue } from "./onnx/encode.ts";

/** A program to results: on a thread of its own, or on the calling one. */
export { type CompileOptions, type RunOptions, Session } from "./runtime/session.ts";
export { OrtSession } from "./runtime/ort-session.ts";
export type { NamedTensors, SessionOptions } from "./runtime/ort-session.ts";
export type { WeightOptions } from "./runtime/program.ts";
export type { Device } from "./runtime/devices.ts";

export { ClipError, ShapeError } from "./core/errors.ts";
export type { ClipErrorCode } from "./core/errors.ts";
