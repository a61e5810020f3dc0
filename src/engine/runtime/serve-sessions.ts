import { provideRuntime, type WebRuntime } from "./onnxruntime.browser.ts";
import { serve } from "../threads/serve.ts";
import { sessionMethods } from "./session-methods.ts";

/** True in a thread of ONNX Runtime, which starts its threads with the script that contains it: our worker's. */
const isRuntimeThread = (): boolean => self.name.startsWith("em-pthread");

/** Serves sessions of this build on a web worker. */
export function serveSessions(runtime: WebRuntime, provider: "wasm" | "webgpu"): void {
  provideRuntime(runtime, provider);
  if (!isRuntimeThread()) serve(sessionMethods);
}
