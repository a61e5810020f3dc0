import { createRequire } from "node:module";
import { runInThisContext } from "node:vm";
import { getEnvironmentData, isMainThread, setEnvironmentData } from "node:worker_threads";
import type * as koffi from "koffi";

/** ONNX Runtime's switch on Linux and macOS, read from the process's environment when the first session is created. */
const variable = "ORT_DISABLE_TELEMETRY";
/** Flag inherited by worker threads: the variable is set in the process's environment. */
const mark = "clip-ts: telemetry is off";

// Worker threads, and Bun everywhere, have a copy of the environment: ONNX Runtime does not see changes to it.
if (isMainThread && process.versions["bun"] === undefined) {
  // Not `process.env`, which is a copy under Jest.
  const { env } = runInThisContext("process") as NodeJS.Process;
  env[variable] ??= "1";
  setEnvironmentData(mark, true);
}

/**
 * Turns off ONNX Runtime's telemetry on Linux and macOS: since 1.29 it reads the machine's id, writes to the user's
 * cache and the temporary folder, may upload, and overflows the stack if the command line exceeds about 14 kB. Keeps a
 * value set by the user. Must be called before the first session is created; on the main thread, importing this module
 * suffices.
 */
export function silenceTelemetry(): void {
  // On Windows, ONNX Runtime passes events to the system (ETW) and ignores the variable.
  if (getEnvironmentData(mark) !== undefined || process.platform === "win32") return;
  try {
    const { load } = createRequire(import.meta.url)("koffi") as typeof koffi;
    const setenv = load(null).func("int setenv(const char *name, const char *value, int overwrite)") as Setenv;
    setenv(variable, process.env[variable] ?? "1", 0);
  } catch {
    // If the copied environment has the variable, so most likely has the process's.
    if (process.env[variable] === undefined) process.emitWarning(warning, { code: "CLIP_TELEMETRY" });
  }
  setEnvironmentData(mark, true);
}

type Setenv = (name: string, value: string, overwrite: number) => number;

const warning =
  `ONNX Runtime's telemetry is on in this process: a worker thread cannot switch it off without the package koffi. ` +
  `Start the program with ${variable}=1, import clip-ts on the main thread first, or npm install koffi`;
