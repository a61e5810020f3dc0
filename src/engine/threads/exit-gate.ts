const [busy, closed] = [0, 1];

/**
 * Keeps the process from exiting during native code: Node would tear down the thread, and ONNX Runtime's binding would
 * abort the process. The state is shared memory, since no messages are read at exit.
 */
export class ExitGate {
  readonly state: Int32Array<SharedArrayBuffer>;

  constructor(shared = new SharedArrayBuffer(8)) {
    this.state = new Int32Array(shared);
  }

  /** On the worker thread: does the work, unless the process is exiting. */
  async pass(work: () => Promise<void>): Promise<void> {
    Atomics.store(this.state, busy, 1);
    if (Atomics.load(this.state, closed) === 0) await work();
    Atomics.store(this.state, busy, 0);
    Atomics.notify(this.state, busy);
  }

  /** On the main thread: blocks until the current work is done, and lets no more begin. */
  close(): void {
    Atomics.store(this.state, closed, 1);
    Atomics.wait(this.state, busy, 1);
  }
}
