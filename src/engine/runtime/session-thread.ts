import { type Device, sessionWorkers } from "./devices.ts";
import { Remote } from "../threads/remote.ts";
import type { SessionMethods } from "./session-methods.ts";

/** The worker thread that owns all sessions on a device, counted by its holders. */
export class SessionThread {
  static readonly #current = new Map<Device, SessionThread>();
  readonly call: Remote<SessionMethods>["call"];
  readonly #device: Device;
  readonly #thread: Remote<SessionMethods>;
  #holders = 0;

  private constructor(device: Device) {
    this.#device = device;
    this.#thread = new Remote(sessionWorkers[device]);
    this.call = this.#thread.call.bind(this.#thread);
  }

  /** The device's thread, started if there is none or it has died. Each holder must call `giveBack` once. */
  static acquire(device: Device): SessionThread {
    let thread = SessionThread.#current.get(device);
    if (!thread || thread.#thread.failure) SessionThread.#current.set(device, (thread = new SessionThread(device)));
    thread.#holders++;
    return thread;
  }

  /** Ends the thread after its last holder. */
  async giveBack(): Promise<void> {
    if (--this.#holders > 0) return;
    if (SessionThread.#current.get(this.#device) === this) SessionThread.#current.delete(this.#device);
    await this.#thread.end();
  }
}
