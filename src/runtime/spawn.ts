import { Worker, type WorkerOptions } from "node:worker_threads";
import { silenceTelemetry } from "./telemetry.ts";

/**
 * Starts a module of this package on a worker thread.
 *
 * @param module - the module's address without its ending: `new URL("./session-worker", import.meta.url)`. The ending is
 *   that of this very file: `.js` in the built package, `.ts` when the sources run under a loader.
 */
export function spawnWorker(module: URL, options: WorkerOptions = {}): Worker {
  silenceTelemetry();
  return import.meta.url.endsWith(".ts")
    ? new Worker(fromSource(`${module.href}.ts`), options)
    : new Worker(new URL(`${module.href}.js`), options);
}

/** A module that gives the worker a loader for TypeScript, which Node 20 does not hand on to it. */
function fromSource(module: string): URL {
  const loader = import.meta.resolve("tsx/esm/api");
  const script = `import { register } from ${JSON.stringify(loader)}; register(); await import(${JSON.stringify(module)});`;
  return new URL(`data:text/javascript,${encodeURIComponent(script)}`);
}
