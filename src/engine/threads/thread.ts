import type { Worker } from "node:worker_threads";
import { ExitGate } from "./exit-gate.ts";
import { spawnWorker } from "./spawn.ts";

/** What becomes of a thread's messages. */
export interface ThreadEvents {
  readonly onMessage: (message: unknown) => void;
  /** It answers no more. */
  readonly onEnd: (reason: string) => void;
}

/** What a thread runs: a module as {@link spawnWorker} takes it, or in a page a function that starts a web worker. */
export type ThreadModule = string | (() => object);

/** A module of this package on a thread of its own, as the thread that started it sees it. */
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

  /** The buffers move there without being copied. */
  post(message: unknown, moved: readonly ArrayBuffer[]): void {
    this.#worker.postMessage(message, moved);
  }

  /** Whether the process must not end before the thread has answered. */
  set isAwaited(awaited: boolean) {
    if (awaited) this.#worker.ref();
    else this.#worker.unref();
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}
