import { type Device, sessionWorkers } from "./devices.ts";
import { Remote } from "../threads/remote.ts";
import type { SessionMethods } from "./session-methods.ts";

/** The worker thread that owns all sessions on a device; it lives while somebody holds it. */
export class Engine {
  static readonly #current = new Map<Device, Engine>();
  readonly call: Remote<SessionMethods>["call"];
  readonly #device: Device;
  readonly #thread: Remote<SessionMethods>;
  #holders = 0;

  private constructor(device: Device) {
    this.#device = device;
    this.#thread = new Remote(sessionWorkers[device]);
    this.call = this.#thread.call.bind(this.#thread);
  }

  /** The device's engine, started if there is none or it has died. Each holder gives it back once. */
  static acquire(device: Device): Engine {
    let engine = Engine.#current.get(device);
    if (!engine || engine.#thread.failure) Engine.#current.set(device, (engine = new Engine(device)));
    engine.#holders++;
    return engine;
  }

  /** Ends the thread when its last holder has given it back. */
  async giveBack(): Promise<void> {
    if (--this.#holders > 0) return;
    if (Engine.#current.get(this.#device) === this) Engine.#current.delete(this.#device);
    await this.#thread.end();
  }
}
