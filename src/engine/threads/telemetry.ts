import { createRequire } from "node:module";
import { runInThisContext } from "node:vm";
import { getEnvironmentData, isMainThread, setEnvironmentData } from "node:worker_threads";
import type * as koffi from "koffi";

/** ONNX Runtime's own switch on Linux and macOS. It is read from the process's environment when the first session is created. */
const variable = "ORT_DISABLE_TELEMETRY";
/** Worker threads inherit this mark from the thread that starts them: the process's environment has the variable. */
const mark = "clip-ts: telemetry is off";

// Worker threads have a copy of the environment, and Bun has one everywhere: ONNX Runtime does not see what is set there.
if (isMainThread && process.versions["bun"] === undefined) {
  // Not `process.env`: Jest gives its modules a copy of that as well.
  const { env } = runInThisContext("process") as NodeJS.Process;
  env[variable] ??= "1";
  setEnvironmentData(mark, true);
}

/**
 * Keeps ONNX Runtime on Linux and macOS from sending and writing: since 1.29 it reads the machine's id, writes into the user's cache and the
 * temporary folder, may upload, and overflows the stack on a command line of more than about 14 kB. A value that the user
 * set stays. On the main thread importing this module has done it. Must be called before the first session is created.
 */
export function silenceTelemetry(): void {
  // On Windows ONNX Runtime hands events to the system (ETW) and does not read the variable.
  if (getEnvironmentData(mark) !== undefined || process.platform === "win32") return;
  try {
    const { load } = createRequire(import.meta.url)("koffi") as typeof koffi;
    const setenv = load(null).func("int setenv(const char *name, const char *value, int overwrite)") as Setenv;
    setenv(variable, process.env[variable] ?? "1", 0);
  } catch {
    // A copy that has the variable most likely got it from the process's environment.
    if (process.env[variable] === undefined) process.emitWarning(warning, { code: "CLIP_TELEMETRY" });
  }
  setEnvironmentData(mark, true);
}

type Setenv = (name: string, value: string, overwrite: number) => number;

const warning =
  `ONNX Runtime's telemetry is on in this process: a worker thread cannot switch it off without the package koffi. ` +
  `Start the program with ${variable}=1, import clip-ts on the main thread first, or npm install koffi`;
