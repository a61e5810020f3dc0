import type { Worker } from "node:worker_threads";
import { ExitGate } from "./exit-gate.ts";
import { spawnWorker } from "./spawn.ts";

export interface ThreadEvents {
  readonly onMessage: (message: unknown) => void;
  /** Called when the thread fails or ends. */
  readonly onEnd: (reason: string) => void;
}

/** Module of a thread: a path for {@link spawnWorker}, or in a page a function that starts a web worker. */
export type ThreadModule = string | (() => object);

/** A worker thread that runs a module of this package. */
export class Thread {
  readonly #gate = new ExitGate();
  readonly #worker: Worker;
  readonly #atExit = () => this.#gate.close();

  constructor(module: ThreadModule, { onMessage, onEnd }: ThreadEvents) {
    this.#worker = spawnWorker(module as string, { workerData: this.#gate.state.buffer });
    this.#worker.unref();
    const end = (reason: string) => {
      process.off("exit", this.#atExit);
      onEnd(reason);
    };
    this.#worker.on("message", onMessage);
    this.#worker.on("error", (error: Error) => end(error.message));
    this.#worker.on("exit", () => end("the worker thread ended"));
    process.on("exit", this.#atExit);
  }

  /** Sends a message; `moved` buffers are transferred, not copied. */
  post(message: unknown, moved: readonly ArrayBuffer[]): void {
    this.#worker.postMessage(message, moved);
  }

  /** True keeps the process alive until the thread has answered. */
  set isAwaited(awaited: boolean) {
    if (awaited) this.#worker.ref();
    else this.#worker.unref();
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}
