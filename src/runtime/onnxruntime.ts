import { availableParallelism } from "node:os";
import type * as common from "onnxruntime-common";
import * as runtime from "onnxruntime-node";

/** What computes: the processor (in a page through WebAssembly), or the graphics processor through WebGPU. */
export type Device = "cpu" | "webgpu";

/** What of ONNX Runtime's interface is used; it is the same in Node and in a page. */
export type OnnxRuntime = Pick<typeof common, "InferenceSession" | "Tensor">;

/** What of a session's settings depends on where it runs. */
export interface RuntimeChoice {
  readonly runtime: OnnxRuntime;
  /** Undefined: ONNX Runtime's own choice. */
  readonly providers: readonly string[] | undefined;
  readonly intraOpNumThreads: number;
}

/** ONNX Runtime for a device. */
export async function loadOnnxRuntime(wanted: {
  readonly device: Device | undefined;
  readonly threads: number | undefined;
}): Promise<RuntimeChoice> {
  const { device = "cpu", threads = availableParallelism() } = wanted;
  return Promise.resolve({
    runtime,
    providers: device === "webgpu" ? [device] : undefined,
    intraOpNumThreads: threads,
  });
}
