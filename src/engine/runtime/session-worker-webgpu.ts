// A page's web worker with ONNX Runtime's build for WebGPU.
import * as runtime from "onnxruntime-web/webgpu";
import { serveSessions } from "./serve-sessions.ts";

serveSessions(runtime, "webgpu");
