const [busy, closed] = [0, 1];

/**
 * Keeps the process from ending in the middle of native code: Node would tear the thread down under it, and ONNX
 * Runtime's binding then aborts the process. Both threads share the state, since at exit no messages are read any more.
 */
export class ExitGate {
  readonly state: Int32Array<SharedArrayBuffer>;

  constructor(shared = new SharedArrayBuffer(8)) {
    this.state = new Int32Array(shared);
  }

  /** On the engine's thread: does the work, unless the process is ending. */
  async pass(work: () => Promise<void>): Promise<void> {
    Atomics.store(this.state, busy, 1);
    if (Atomics.load(this.state, closed) === 0) await work();
    Atomics.store(this.state, busy, 0);
    Atomics.notify(this.state, busy);
  }

  /** On the main thread: blocks until the work at hand is done, and lets no more begin. */
  close(): void {
    Atomics.store(this.state, closed, 1);
    Atomics.wait(this.state, busy, 1);
  }
}
