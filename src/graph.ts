// The door "clip-ts/graph": a tensor program as a value, its gradients, ONNX Runtime to run it, and optimizers. Usable without CLIP.

import "./core/globals.ts";

/** Programs: leaves, and functions of several tensors; other operations are methods of Tensor. */
export { averagePool, concat, constant, conv2d, input, scalar, stored, Tensor, where } from "./engine/graph/tensor.ts";
export { printProgram } from "./engine/graph/print.ts";
export type { Dim, Shape } from "./core/shape.ts";
export type { OpName, OpSignatures, TensorPlace } from "./engine/graph/ops.ts";

/** Inputs and outputs of a program. */
export { float32, int32 } from "./core/tensor-data.ts";
export type { TensorData } from "./core/tensor-data.ts";
export type { Dtype, DtypeArrays, TypedArray } from "./core/dtype.ts";

/** Derivatives, as tensors of the same program. */
export { checkpoint, gradients } from "./engine/autodiff/gradients.ts";

/** ONNX bytes of a program. */
export { buildModel } from "./engine/onnx/build.ts";
export type { OnnxModel } from "./engine/onnx/build.ts";
export type { OnnxValue } from "./engine/onnx/encode.ts";

/** Running a program, on another thread or on the calling one. */
export { type CompileOptions, type RunOptions, Session } from "./engine/runtime/session.ts";
export { OrtSession } from "./engine/runtime/ort-session.ts";
export type { NamedTensors, SessionOptions } from "./engine/runtime/ort-session.ts";
export type { WeightOptions } from "./engine/runtime/program.ts";
export type { Device } from "./engine/runtime/devices.ts";

/** Minimizing a loss. */
export { minimize } from "./engine/optimize/minimize.ts";
export type { LossProgram, MinimizeOptions, MinimizeStep, OptimizerChoice } from "./engine/optimize/minimize.ts";
export { type Evaluation, lbfgs, type LbfgsOptions, type Minimum, type Objective } from "./engine/optimize/lbfgs.ts";

/** Optimizers for a training loop of your own. */
export { AdamW, type AdamwOptions } from "./engine/optimize/adamw.ts";
export type { Moment } from "./engine/optimize/adamw-part.ts";
export { Ranger, type RangerOptions } from "./engine/optimize/ranger.ts";
export type { OptimizedParameter, Optimizer, UpdateOptions } from "./engine/optimize/optimizer.ts";

export { ClipError, ShapeError } from "./core/errors.ts";
export type { ClipErrorCode } from "./core/errors.ts";
