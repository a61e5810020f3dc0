import type { Env } from "onnxruntime-common";
import type { Device } from "./devices.ts";
import type { OnnxRuntime, RuntimeChoice } from "./onnxruntime.ts";
import { serve } from "./serve.ts";
import { sessionMethods } from "./session-methods.ts";

export type { OnnxRuntime, RuntimeChoice };

type WebRuntime = OnnxRuntime & { readonly env: Env };

/** The one build of this worker. */
let build: { readonly runtime: WebRuntime; readonly provider: string } | undefined;

/** ONNX Runtime starts threads of its own with the script that it stands in: this worker's. */
const isRuntimeThread = (): boolean => self.name.startsWith("em-pthread");

/** On a web worker: answers calls with sessions of this build. */
export function serveSessions(runtime: WebRuntime, provider: "wasm" | "webgpu"): void {
  build = { runtime, provider };
  if (!isRuntimeThread()) serve(sessionMethods);
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
