import type { TrainProgress } from "./train-options.ts";

/** The clock of a run since it was started or resumed. */
export class Pace {
  readonly #batchSize: number;
  readonly #started = performance.now();
  #firstStepEnded: number | undefined;
  #lastStepEnded = this.#started;
  /** Seconds of waiting for data and of communication. */
  #waited = 0;
  #communicated = 0;
  #steps = 0;

  constructor(batchSize: number) {
    this.#batchSize = batchSize;
  }

  /**
   * Records the end of a step, and returns the share of its time spent waiting for data.
   *
   * @param waited - seconds waited since the start.
   * @param communicated - seconds of communication in this step.
   */
  endStep(waited: number, communicated: number): number {
    const now = performance.now();
    const waitShare = (1000 * (waited - this.#waited)) / (now - this.#lastStepEnded);
    this.#firstStepEnded ??= now;
    this.#lastStepEnded = now;
    this.#waited = waited;
    this.#communicated += communicated;
    this.#steps++;
    return waitShare;
  }

  get seconds(): number {
    return (performance.now() - this.#started) / 1000;
  }

  rates(): Pick<TrainProgress, "pairsPerSecond" | "waitShare" | "communicationShare"> {
    const seconds = this.seconds;
    return {
      pairsPerSecond: (this.#steps * this.#batchSize) / seconds,
      waitShare: this.#waited / seconds,
      communicationShare: this.#communicated / seconds,
    };
  }

  /** Seconds for some more steps; undefined before the second step has ended. */
  secondsFor(steps: number): number | undefined {
    if (steps === 0) return 0;
    if (this.#steps < 2) return undefined;
    return (steps * (this.#lastStepEnded - this.#firstStepEnded!)) / (this.#steps - 1) / 1000;
  }
}
