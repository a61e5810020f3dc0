// A page's web worker with ONNX Runtime's build for WebAssembly only.
import * as runtime from "onnxruntime-web/wasm";
import { serveSessions } from "./serve-sessions.ts";

serveSessions(runtime, "wasm");
