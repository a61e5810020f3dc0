import { Worker, type WorkerOptions } from "node:worker_threads";
import { inputType, moduleEnvironment, packageFile, packageModule, runsFromSource } from "../../core/package-files.ts";
import { silenceTelemetry } from "./telemetry.ts";

/**
 * Starts a module of this package on a worker thread.
 *
 * @param module - as {@link packageModule} takes it.
 */
export function spawnWorker(module: string, options: WorkerOptions = {}): Worker {
  silenceTelemetry();
  const address = packageModule(module);
  const all = { ...options, ...withoutInputType() };
  return runsFromSource
    ? new Worker(packageFile("src/engine/threads/source-worker.js"), { ...all, argv: [address.href] })
    : new Worker(address, all);
}

/** What a thread may be given as well as inherit, and should have of the user's: modules to load first, and conditions. */
const preloading = /^(-r|--require|--import|--loader|--experimental-loader|-C|--conditions)(=|$)/;

/** Options of a thread that does not inherit the kind of the main program; empty where there is none. */
function withoutInputType(): WorkerOptions {
  const { NODE_OPTIONS = "" } = process.env;
  if (`${process.execArgv.join(" ")} ${NODE_OPTIONS}`.search(inputType) === -1) return {};
  const execArgv = process.execArgv.filter(
    (arg, i, all) => preloading.test(arg) || (preloading.test(all[i - 1] ?? "") && !all[i - 1]!.includes("=")),
  );
  return { execArgv, env: moduleEnvironment() };
}
