interface Waiting {
  readonly bytes: number;
  readonly start: () => void;
}

/**
 * A memory budget shared by tasks: they start in order, each when the running ones leave enough. A task that exceeds
 * the whole budget runs alone.
 */
export class MemoryBudget {
  readonly #bytes: number;
  #used = 0;
  readonly #waiting: Waiting[] = [];

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  /**
   * Runs the work once memory is available.
   *
   * @param signal - removes the work from the queue; throws the signal's reason.
   */
  async use<Result>(bytes: number, work: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    await this.#take(bytes, signal);
    try {
      return await work();
    } finally {
      this.#used -= bytes;
      this.#startNext();
    }
  }

  async #take(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const stop = () => {
        this.#waiting.splice(this.#waiting.indexOf(entry), 1);
        reject(signal!.reason as Error);
        this.#startNext();
      };
      const start = () => {
        signal?.removeEventListener("abort", stop);
        resolve();
      };
      const entry: Waiting = { bytes, start };
      signal?.addEventListener("abort", stop, { once: true });
      this.#waiting.push(entry);
      this.#startNext();
    });
  }

  #startNext(): void {
    for (let [next] = this.#waiting; next && this.#hasRoomFor(next.bytes); [next] = this.#waiting) {
      this.#waiting.shift();
      this.#used += next.bytes;
      next.start();
    }
  }

  #hasRoomFor(bytes: number): boolean {
    return this.#used === 0 || this.#used + bytes <= this.#bytes;
  }
}
