import type { Worker } from "node:worker_threads";
import { ClipError, type ClipErrorCode } from "../core/errors.ts";
import { ExitGate } from "./exit-gate.ts";
import type { SessionRequest } from "./session-worker.ts";
import { spawnWorker } from "./spawn.ts";

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: { readonly code?: ClipErrorCode; readonly message: string };
}

/** The worker thread that owns the sessions of this process; it lives while somebody holds it. */
export class Engine {
  static #current: Engine | undefined;
  readonly #gate = new ExitGate();
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  readonly #atExit = () => this.#gate.close();
  #holders = 0;
  #asked = 0;
  #failure: ClipError | undefined;

  /** The process's engine, started if there is none. Each holder gives it back once. */
  static acquire(): Engine {
    const engine = (Engine.#current ??= new Engine());
    engine.#holders++;
    return engine;
  }

  private constructor() {
    this.#worker = spawnWorker(new URL("./session-worker", import.meta.url), { workerData: this.#gate.state.buffer });
    this.#worker.unref();
    this.#worker.on("message", ({ id, result, error }: Answer) => {
      const { resolve, reject } = this.#pending.get(id)!;
      this.#settle(id);
      if (error) reject(new ClipError(error.code ?? "CLIP_RUNTIME", error.message));
      else resolve(result);
    });
    this.#worker.on("error", (error: Error) => this.#fail(error.message));
    this.#worker.on("exit", () => this.#fail("the engine's thread ended"));
    process.on("exit", this.#atExit);
  }

  /** Sends a request; `transfer` moves those buffers to the engine's thread. */
  ask(request: SessionRequest, transfer: readonly ArrayBuffer[] = []): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#failure) throw this.#failure;
      const id = this.#asked++;
      this.#worker.postMessage({ id, request }, transfer);
      this.#pending.set(id, { resolve, reject });
      // An open request keeps the process alive, an idle engine does not.
      this.#worker.ref();
    });
  }

  /** Ends the thread when its last holder has given it back. */
  async giveBack(): Promise<void> {
    if (--this.#holders > 0) return;
    if (Engine.#current === this) Engine.#current = undefined;
    await this.#worker.terminate();
  }

  #settle(id: number): void {
    this.#pending.delete(id);
    if (this.#pending.size === 0) this.#worker.unref();
  }

  #fail(reason: string): void {
    this.#failure ??= new ClipError("CLIP_RUNTIME", `${reason}; compile the program again`);
    process.off("exit", this.#atExit);
    if (Engine.#current === this) Engine.#current = undefined;
    for (const [id, { reject }] of this.#pending) {
      this.#settle(id);
      reject(this.#failure);
    }
  }
}
