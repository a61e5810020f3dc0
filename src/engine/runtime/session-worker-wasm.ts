// A page's web worker with the build of ONNX Runtime compiled to WebAssembly alone.
import * as runtime from "onnxruntime-web/wasm";
import { serveSessions } from "./serve-sessions.ts";

serveSessions(runtime, "wasm");
