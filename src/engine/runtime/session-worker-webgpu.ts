// A page's web worker with the build of ONNX Runtime with WebGPU.
import * as runtime from "onnxruntime-web/webgpu";
import { serveSessions } from "./serve-sessions.ts";

serveSessions(runtime, "webgpu");
