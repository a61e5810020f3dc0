import type { Env } from "onnxruntime-common";
import type { Device } from "./devices.ts";
import type { OnnxRuntime, RuntimeChoice } from "./onnxruntime.ts";

export type { OnnxRuntime, RuntimeChoice };

/** A build of onnxruntime-web. */
export type WebRuntime = OnnxRuntime & { readonly env: Env };

/** The one build of this worker. */
let build: { readonly runtime: WebRuntime; readonly provider: string } | undefined;

/** On a web worker: sets what its sessions run with. */
export function provideRuntime(runtime: WebRuntime, provider: "wasm" | "webgpu"): void {
  build = { runtime, provider };
}

/**
 * ONNX Runtime as this worker has it; with as many threads as there are cores where the page may share memory between them
 * (it is isolated by COOP and COEP headers), else with one.
 */
export function chooseRuntime(_device: Device, threads = navigator.hardwareConcurrency): RuntimeChoice {
  const { runtime, provider } = build!;
  runtime.env.wasm.numThreads = crossOriginIsolated ? threads : 1;
  return { runtime, providers: [provider], threads: runtime.env.wasm.numThreads };
}
