import { Worker, type WorkerOptions } from "node:worker_threads";
import { packageFile, packageModule, runsFromSource } from "../core/package-files.ts";
import { silenceTelemetry } from "./telemetry.ts";

/**
 * Starts a module of this package on a worker thread.
 *
 * @param module - as {@link packageModule} takes it.
 */
export function spawnWorker(module: string, options: WorkerOptions = {}): Worker {
  silenceTelemetry();
  const address = packageModule(module);
  return runsFromSource
    ? new Worker(packageFile("src/runtime/source-worker.js"), { ...options, argv: [address.href] })
    : new Worker(address, options);
}
