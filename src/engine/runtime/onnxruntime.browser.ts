import type { Env } from "onnxruntime-common";
import type { Device } from "./devices.ts";
import type { OnnxRuntime, RuntimeChoice } from "./onnxruntime.ts";

export type { OnnxRuntime, RuntimeChoice };

export type WebRuntime = OnnxRuntime & { readonly env: Env };

/** This worker's build. */
let build: { readonly runtime: WebRuntime; readonly provider: string } | undefined;

/** Sets the build of this web worker. */
export function provideRuntime(runtime: WebRuntime, provider: "wasm" | "webgpu"): void {
  build = { runtime, provider };
}

/**
 * This worker's build of ONNX Runtime. It uses all cores if the page may share memory between threads (it is isolated
 * by COOP and COEP headers), else one.
 */
export function chooseRuntime(_device: Device, threads = navigator.hardwareConcurrency): RuntimeChoice {
  const { runtime, provider } = build!;
  runtime.env.wasm.numThreads = crossOriginIsolated ? threads : 1;
  return { runtime, providers: [provider], threads: runtime.env.wasm.numThreads };
}
