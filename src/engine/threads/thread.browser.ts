import type { ThreadEvents } from "./thread.ts";

/** {@link import("./thread.ts").Thread} in a page: a web worker. */
export class Thread {
  /** Workers do not keep a page. */
  isAwaited = false;
  readonly #worker: Worker;

  /** @param module - of a device's sessions, the only threads that pages have. */
  constructor(module: string, { onMessage, onEnd }: ThreadEvents) {
    // Bundlers look for this very expression, with the address written out.
    this.#worker =
      module === "session-worker-webgpu"
        ? new Worker(new URL("../runtime/session-worker-webgpu.js", import.meta.url), { type: "module" })
        : new Worker(new URL("../runtime/session-worker-wasm.js", import.meta.url), { type: "module" });
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
