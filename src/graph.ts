// Everything that can be imported from "clip-ts/graph": a tensor program as a value, its gradients, and ONNX Runtime to
// run it. Usable without CLIP.

import "./core/globals.ts";

/** Programs: leaves, and functions of several tensors; the rest are methods of Tensor. */
export { averagePool, concat, constant, conv2d, input, scalar, stored, Tensor, where } from "./engine/graph/tensor.ts";
export { printProgram } from "./engine/graph/print.ts";
export type { Dim, Shape } from "./core/shape.ts";
export type { OpName, OpSignatures, TensorPlace } from "./engine/graph/ops.ts";

/** Elements that go into and come out of a program. */
export { float32, int32 } from "./core/tensor-data.ts";
export type { TensorData } from "./core/tensor-data.ts";
export type { Dtype, DtypeArrays, TypedArray } from "./core/dtype.ts";

/** Derivatives, which are tensors of the same program. */
export { checkpoint, gradients } from "./engine/autodiff/gradients.ts";

/** A program to ONNX bytes. */
export { buildModel } from "./engine/onnx/build.ts";
export type { OnnxModel } from "./engine/onnx/build.ts";
export type { OnnxValue } from "./engine/onnx/encode.ts";

/** A program to results: on a thread of its own, or on the calling one. */
export { type CompileOptions, type RunOptions, Session } from "./engine/runtime/session.ts";
export { OrtSession } from "./engine/runtime/ort-session.ts";
export type { NamedTensors, SessionOptions } from "./engine/runtime/ort-session.ts";
export type { WeightOptions } from "./engine/runtime/program.ts";
export type { Device } from "./engine/runtime/devices.ts";

export { ClipError, ShapeError } from "./core/errors.ts";
export type { ClipErrorCode } from "./core/errors.ts";
