// Must be the first import: its side effect has to precede ONNX Runtime.
import { silenceTelemetry } from "../threads/telemetry.ts";
import { availableParallelism } from "node:os";
import type * as common from "onnxruntime-common";
import * as runtime from "onnxruntime-node";
import type { Device } from "./devices.ts";

/** The part of ONNX Runtime's API used here; the same in Node and in a page. */
export type OnnxRuntime = Pick<typeof common, "InferenceSession" | "Tensor">;

/** ONNX Runtime and its platform-dependent settings. */
export interface RuntimeChoice {
  readonly runtime: OnnxRuntime;
  /** Undefined for ONNX Runtime's default. */
  readonly providers: readonly string[] | undefined;
  readonly threads: number;
}

export function chooseRuntime(device: Device, threads = availableParallelism()): RuntimeChoice {
  silenceTelemetry();
  return { runtime, providers: device === "webgpu" ? [device] : undefined, threads };
}
