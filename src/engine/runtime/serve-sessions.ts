import { provideRuntime, type WebRuntime } from "./onnxruntime.browser.ts";
import { serve } from "../threads/serve.ts";
import { sessionMethods } from "./session-methods.ts";

/** ONNX Runtime starts threads of its own with the script that it stands in: a web worker's of ours. */
const isRuntimeThread = (): boolean => self.name.startsWith("em-pthread");

/** On a web worker: answers calls with sessions of this build. */
export function serveSessions(runtime: WebRuntime, provider: "wasm" | "webgpu"): void {
  provideRuntime(runtime, provider);
  if (!isRuntimeThread()) serve(sessionMethods);
}
