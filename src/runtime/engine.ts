import { Remote } from "./remote.ts";
import type { SessionMethods } from "./session-worker.ts";

/** The worker thread that owns the sessions of this process; it lives while somebody holds it. */
export class Engine {
  static #current: Engine | undefined;
  readonly #thread = new Remote<SessionMethods>(new URL("./session-worker", import.meta.url));
  readonly call: Remote<SessionMethods>["call"] = this.#thread.call.bind(this.#thread);
  #holders = 0;

  /** The process's engine, started if there is none or it has died. Each holder gives it back once. */
  static acquire(): Engine {
    if (!Engine.#current || Engine.#current.#thread.failure) Engine.#current = new Engine();
    Engine.#current.#holders++;
    return Engine.#current;
  }

  /** Ends the thread when its last holder has given it back. */
  async giveBack(): Promise<void> {
    if (--this.#holders > 0) return;
    if (Engine.#current === this) Engine.#current = undefined;
    await this.#thread.end();
  }
}
