// First: its side effect has to come before ONNX Runtime is loaded.
import { silenceTelemetry } from "../threads/telemetry.ts";
import { availableParallelism } from "node:os";
import type * as common from "onnxruntime-common";
import * as runtime from "onnxruntime-node";
import type { Device } from "./devices.ts";

/** What of ONNX Runtime's interface is used; it is the same in Node and in a page. */
export type OnnxRuntime = Pick<typeof common, "InferenceSession" | "Tensor">;

/** What of a session depends on where it runs. */
export interface RuntimeChoice {
  readonly runtime: OnnxRuntime;
  /** Undefined: ONNX Runtime's own choice. */
  readonly providers: readonly string[] | undefined;
  readonly threads: number;
}

/** ONNX Runtime for a device. */
export function chooseRuntime(device: Device, threads = availableParallelism()): RuntimeChoice {
  silenceTelemetry();
  return { runtime, providers: device === "webgpu" ? [device] : undefined, threads };
}
