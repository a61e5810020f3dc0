import type { ThreadEvents, ThreadModule } from "./thread.ts";

/** {@link import("./thread.ts").Thread} in a page: a web worker. */
export class Thread {
  /** Without effect: workers do not keep a page open. */
  isAwaited = false;
  readonly #worker: Worker;

  constructor(start: ThreadModule, { onMessage, onEnd }: ThreadEvents) {
    this.#worker = (start as () => Worker)();
    this.#worker.addEventListener("message", ({ data }) => onMessage(data));
    this.#worker.addEventListener("error", ({ message }) => {
      this.#worker.terminate();
      onEnd(message || "the worker could not be loaded");
    });
  }

  post(message: unknown, moved: readonly ArrayBuffer[]): void {
    this.#worker.postMessage(message, [...moved]);
  }

  end(): Promise<void> {
    this.#worker.terminate();
    return Promise.resolve();
  }
}
