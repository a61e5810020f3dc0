import { Worker, type WorkerOptions } from "node:worker_threads";
import { inputType, moduleEnvironment, packageFile, packageModule, runsFromSource } from "../../core/package-files.ts";
import { silenceTelemetry } from "./telemetry.ts";

/**
 * Starts a module of this package on a worker thread.
 *
 * @param module - path for {@link packageModule}.
 */
export function spawnWorker(module: string, options: WorkerOptions = {}): Worker {
  silenceTelemetry();
  const address = packageModule(module);
  const all = { ...options, ...withoutInputType() };
  return runsFromSource
    ? new Worker(packageFile("src/engine/threads/source-worker.js"), { ...all, argv: [address.href] })
    : new Worker(address, all);
}

/** Node options to pass on to threads: preloaded modules, loaders and conditions. */
const preloading = /^(-r|--require|--import|--loader|--experimental-loader|-C|--conditions)(=|$)/;

/** Options that keep a thread from inheriting `--input-type`; empty if that is not set. */
function withoutInputType(): WorkerOptions {
  const { NODE_OPTIONS = "" } = process.env;
  if (`${process.execArgv.join(" ")} ${NODE_OPTIONS}`.search(inputType) === -1) return {};
  const execArgv = process.execArgv.filter(
    (arg, i, all) => preloading.test(arg) || (preloading.test(all[i - 1] ?? "") && !all[i - 1]!.includes("=")),
  );
  return { execArgv, env: moduleEnvironment() };
}
