import { constants } from "node:os";
import { removeOpenTemporaries } from "../../core/atomic-write.ts";
import { spawnWorker } from "../../engine/threads/spawn.ts";

const stopSignals = ["SIGINT", "SIGTERM"] as const;
type StopSignal = (typeof stopSignals)[number];

export interface StopRequest {
  readonly signals: readonly StopSignal[];
  /** Time from the first signal to the end of the process. */
  readonly deadlineMs: number;
}

/** Message of the listening thread: a signal has come, or it cannot listen. */
export type StopMessage = StopSignal | "deaf";

/** Time for a stopped command to save its work; then the system ends the process. */
const deadlineMs = 1400;
/** If it is free, the main thread ends the process a little earlier, and removes unfinished files. */
const tidyMs = 1200;
/** Time that abandoned work may keep the process after the command has returned. */
const lingerMs = 100;

/** Stops a command on the first signal, and ends the process in time. The second signal ends it at once. */
export class StopSignals {
  readonly #stop = new AbortController();
  #received: StopSignal | undefined;

  /** Starts listening; an earlier signal ends the process at once. */
  constructor() {
    const request: StopRequest = { signals: stopSignals, deadlineMs };
    const worker = spawnWorker("interfaces/cli/signal-worker", { workerData: request });
    worker.on("message", (message: StopMessage) => {
      if (message !== "deaf") return this.#receive(message);
      for (const signal of stopSignals) process.once(signal, () => this.#receive(signal));
    });
    // After adding the listener, which would keep the process alive.
    worker.unref();
  }

  /** Aborted by the first signal. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /**
   * Sets the exit code when the command has returned.
   *
   * @param code - used unless a signal came; then it is 128 plus the signal's number, as in shells.
   */
  finish(code: number): void {
    process.exitCode = this.#received === undefined ? code : 128 + constants.signals[this.#received];
    if (this.#received !== undefined) this.#endIn(lingerMs);
  }

  #receive(signal: StopSignal): void {
    if (this.#received !== undefined) return;
    this.#received = signal;
    this.#endIn(tidyMs);
    this.#stop.abort();
  }

  /** Ends by a signal: native code cannot be interrupted, and may crash while its thread is torn down. */
  #endIn(ms: number): void {
    const end = () => {
      removeOpenTemporaries();
      process.removeAllListeners(this.#received);
      process.kill(process.pid, this.#received);
    };
    setTimeout(end, ms).unref();
  }
}
