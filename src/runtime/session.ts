import type { Worker } from "node:worker_threads";
import { ClipError, type ClipErrorCode } from "../core/errors.ts";
import type { TensorData } from "../core/tensor-data.ts";
import type { Tensor } from "../graph/tensor.ts";
import { buildModel, type OnnxModel } from "../onnx/build.ts";
import type { NamedTensors, SessionOptions } from "./ort-session.ts";
import type { SessionRequest } from "./session-worker.ts";
import { spawnWorker } from "./spawn.ts";

/**
 * A compiled program. It runs on a worker thread that all sessions of the process share, so timers, signals and
 * requests stay alive while it does. `await using` gives its memory back.
 */
export class Session implements AsyncDisposable {
  readonly inputs: OnnxModel["inputs"];
  readonly outputs: OnnxModel["outputs"];
  readonly #engine: Engine;
  readonly #id: number;
  #released = false;

  private constructor(engine: Engine, id: number, { inputs, outputs }: OnnxModel) {
    [this.#engine, this.#id, this.inputs, this.outputs] = [engine, id, inputs, outputs];
  }

  /**
   * Lowers and compiles what the outputs need.
   *
   * @throws {ClipError} `CLIP_RUNTIME` if ONNX Runtime refuses the program.
   */
  static async compile(outputs: Readonly<Record<string, Tensor>>, options: SessionOptions = {}): Promise<Session> {
    const model = buildModel(outputs);
    const engine = Engine.acquire();
    try {
      const id = (await engine.ask({ kind: "create", model, options })) as number;
      return new Session(engine, id, model);
    } catch (error) {
      await engine.giveBack();
      throw error;
    }
  }

  /**
   * Runs the program once; runs of several callers happen one after the other.
   *
   * @param feeds - a tensor for each input, of its dtype and shape; they are copied.
   * @throws {ClipError} `CLIP_USAGE` if a feed is missing, unknown or of another dtype or shape, or the session was
   *   released.
   */
  async run(feeds: NamedTensors): Promise<Record<string, TensorData>> {
    if (this.#released) throw new ClipError("CLIP_USAGE", "this session was released; compile the program again");
    return (await this.#engine.ask({ kind: "run", session: this.#id, feeds })) as Record<string, TensorData>;
  }

  /** Gives the memory back; the worker ends with its last session. */
  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    await this.#engine.ask({ kind: "release", session: this.#id });
    await this.#engine.giveBack();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** The worker thread that owns the sessions of this process; it lives while somebody holds it. */
class Engine {
  static #current: Engine | undefined;
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #holders = 0;
  #asked = 0;

  static acquire(): Engine {
    const engine = (Engine.#current ??= new Engine());
    engine.#holders++;
    return engine;
  }

  private constructor() {
    this.#worker = spawnWorker(new URL("./session-worker", import.meta.url));
    this.#worker.unref();
    this.#worker.on("message", ({ id, result, error }: Answer) => {
      const { resolve, reject } = this.#pending.get(id)!;
      this.#settle(id);
      if (error) reject(new ClipError(error.code, error.message));
      else resolve(result);
    });
    this.#worker.on("error", (error: Error) => this.#fail(error.message));
    this.#worker.on("exit", () => this.#fail("the engine's thread ended"));
  }

  ask(request: SessionRequest): Promise<unknown> {
    const id = this.#asked++;
    // An open request keeps the process alive, an idle engine does not.
    this.#worker.ref();
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#worker.postMessage({ id, request });
    });
  }

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
    if (Engine.#current === this) Engine.#current = undefined;
    for (const [id, { reject }] of this.#pending) {
      this.#settle(id);
      reject(new ClipError("CLIP_RUNTIME", reason));
    }
  }
}

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: { readonly code: ClipErrorCode; readonly message: string };
}
