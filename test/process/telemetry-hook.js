// Preloaded on every thread: ends the process where ONNX Runtime is loaded while its telemetry is on.
import { writeSync } from "node:fs";

const { dlopen } = process;
process.dlopen = function (module, path, ...flags) {
  if (path.includes("onnxruntime_binding")) {
    if (process.env.ORT_DISABLE_TELEMETRY === undefined) {
      writeSync(2, "ONNX Runtime was loaded with telemetry on\n");
      process.kill(process.pid, "SIGKILL");
    }
    writeSync(2, "ONNX Runtime was loaded with telemetry off\n");
  }
  return dlopen.call(process, module, path, ...flags);
};
