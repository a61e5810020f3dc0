/** A piece of work that waits for memory. */
interface Waiting {
  readonly bytes: number;
  readonly start: () => void;
}

/**
 * Memory that pieces of work share: one begins when those in progress leave it enough, in the order of asking. One that needs more than
 * there is at all runs alone.
 */
export class MemoryBudget {
  readonly #bytes: number;
  #used = 0;
  readonly #waiting: Waiting[] = [];

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  /**
   * Does the work when there is memory for it.
   *
   * @param signal - takes it out of the queue; its reason is thrown.
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
