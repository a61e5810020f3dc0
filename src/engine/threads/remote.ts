import { ClipError } from "../../core/errors.ts";
import { type Answer, buffersOf, type Methods, type Moved } from "./serve.ts";
import { Thread, type ThreadModule } from "./thread.ts";

type Result<Value> = Awaited<Value> extends Moved<infer Inner> ? Inner : Awaited<Value>;

interface Pending {
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
}

/** Client of a thread that {@link serve}s. An open call keeps the process alive; an idle thread does not. */
export class Remote<Served extends Methods> {
  readonly #thread: Thread;
  readonly #pending = new Map<number, Pending>();
  #calls = 0;
  #failure: ClipError | undefined;

  /** @param module - a module that calls {@link serve}. */
  constructor(module: ThreadModule) {
    this.#thread = new Thread(module, {
      onMessage: (message) => {
        const { id, result, error } = message as Answer;
        const pending = this.#pending.get(id);
        if (!pending) return; // the call was abandoned
        const { resolve, reject } = pending;
        this.#settle(id);
        if (error) reject(new ClipError(error.code ?? "CLIP_RUNTIME", error.message));
        else resolve(result as never);
      },
      onEnd: (reason) => this.#fail(reason),
    });
  }

  /** Reason for which the thread stopped answering; undefined while it works. */
  get failure(): ClipError | undefined {
    return this.#failure;
  }

  /** Calls a method of the thread; `moved` arrays are transferred, not copied. */
  call<Name extends keyof Served & string>(
    name: Name,
    args: Parameters<Served[Name]>,
    moved: Iterable<ArrayBufferView> = [],
  ): Promise<Result<ReturnType<Served[Name]>>> {
    return new Promise((resolve, reject) => {
      if (this.#failure) throw this.#failure;
      const id = this.#calls++;
      this.#thread.post({ id, name, args }, buffersOf(moved));
      this.#pending.set(id, { resolve, reject });
      this.#thread.isAwaited = true;
    });
  }

  async end(): Promise<void> {
    await this.#thread.end();
  }

  #settle(id: number): void {
    this.#pending.delete(id);
    if (this.#pending.size === 0) this.#thread.isAwaited = false;
  }

  #fail(reason: string): void {
    this.#failure ??= new ClipError("CLIP_RUNTIME", reason);
    for (const [id, { reject }] of this.#pending) {
      this.#settle(id);
      reject(this.#failure);
    }
  }
}
