import { constants } from "node:os";
import { removeOpenTemporaries } from "../../core/atomic-write.ts";
import { spawnWorker } from "../../engine/threads/spawn.ts";

/** The signals that ask a command to stop. */
const stopSignals = ["SIGINT", "SIGTERM"] as const;
type StopSignal = (typeof stopSignals)[number];

/** What the thread that listens is asked for. */
export interface StopRequest {
  readonly signals: readonly StopSignal[];
  /** It ends the process so long after the first signal. */
  readonly deadlineMs: number;
}

/** From the thread that listens: a signal has come, or it cannot listen here. */
export type StopMessage = StopSignal | "deaf";

/** A command that was told to stop may save what it has for so long; then the system ends the process, whatever it does. */
const deadlineMs = 1400;
/** The main thread, where it is free, ends the process somewhat earlier: it can remove unfinished files. */
const tidyMs = 1200;
/** After a command has returned, abandoned work may keep the process for so long. */
const lingerMs = 100;

/** Stops a command when a signal asks for it, and ends the process in time. The second signal ends it at once. */
export class StopSignals {
  readonly #stop = new AbortController();
  #received: StopSignal | undefined;

  /** Starts to listen; a signal before that ends the process at once. */
  constructor() {
    const request: StopRequest = { signals: stopSignals, deadlineMs };
    const worker = spawnWorker("interfaces/cli/signal-worker", { workerData: request });
    worker.on("message", (message: StopMessage) => {
      if (message !== "deaf") return this.#receive(message);
      for (const signal of stopSignals) process.once(signal, () => this.#receive(signal));
    });
    // After the listener, which holds the process.
    worker.unref();
  }

  /** Set off by the first signal. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /**
   * To be called when the command has returned.
   *
   * @param code - the exit code unless a signal came: then it is 128 and the signal's number, as in shells.
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

  /** Native code cannot be interrupted and may abort the process where its thread is torn down; a signal is a clean end. */
  #endIn(ms: number): void {
    const end = () => {
      removeOpenTemporaries();
      process.removeAllListeners(this.#received);
      process.kill(process.pid, this.#received);
    };
    setTimeout(end, ms).unref();
  }
}
