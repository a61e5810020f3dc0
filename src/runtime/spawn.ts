import { Worker, type WorkerOptions } from "node:worker_threads";

/**
 * Starts a module of this package on a worker thread.
 *
 * @param module - the module's address without its ending: `new URL("./session-worker", import.meta.url)`. The ending is
 *   that of this very file: `.js` in the built package; `.ts` when the sources run under a loader, which a worker has to
 *   be given again.
 */
export function spawnWorker(module: URL, options: WorkerOptions = {}): Worker {
  const fromSource = import.meta.url.endsWith(".ts");
  return fromSource
    ? new Worker(new URL(`${module.href}.ts`), { ...options, execArgv: ["--import", "tsx"] })
    : new Worker(new URL(`${module.href}.js`), options);
}
