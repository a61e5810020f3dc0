import { join } from "node:path";
import { type SamplePrediction } from "../report/prediction-cards.ts";
import { watchPage, watchParts, type WatchedRun, type WatchState } from "../report/watch-page.ts";
import { LivePage } from "../server/live-page.ts";
import { type Finding } from "../../learning/train/doctor.ts";
import { runFiles } from "../../learning/train/run-folder.ts";
import { type TrainProgress, type TrainValidation } from "../../learning/train/train-options.ts";
import type { CliIo } from "./io.ts";
import { RunMetrics } from "./run-metrics.ts";
import { ShownPredictions } from "./shown-predictions.ts";

/**
 * The page of `clip-ts train --watch`. Keeps the run's events; reads curves and images only while the page is open.
 */
export class TrainWatch implements AsyncDisposable {
  readonly #run: WatchedRun;
  readonly #metrics: RunMetrics;
  readonly #shown = new ShownPredictions();
  readonly #findings: Finding[] = [];
  #progress: TrainProgress | undefined;
  /** Time of the last step, the first step with a known speed, and the speeds since. */
  #stepped: number | undefined;
  #firstSpeed = 0;
  readonly #speeds: number[] = [];
  #validation: TrainValidation | undefined;
  /** The predictions of a validation, or the error that replaces them. */
  #predictions: { readonly of: TrainValidation; readonly shown: readonly SamplePrediction[] | string } | undefined;
  #outcome: string | undefined;
  #page!: LivePage;

  private constructor(run: WatchedRun, out: string) {
    [this.#run, this.#metrics] = [run, new RunMetrics(join(out, runFiles.metrics))];
  }

  /**
   * Opens the page and prints its address.
   *
   * @param port - 0 for a free one.
   * @throws {ClipError} `CLIP_USAGE` if the port cannot be used.
   */
  static async open(run: WatchedRun, out: string, port: number, io: CliIo): Promise<TrainWatch> {
    const watch = new TrainWatch(run, out);
    const onError = (error: unknown) => io.err(`the live page was not updated: ${(error as Error).message}`);
    watch.#page = await LivePage.open({ page: watchPage(run), parts: () => watch.#parts(), onError }, port);
    io.err(`watch   ${watch.#page.url}`);
    return watch;
  }

  onProgress(progress: TrainProgress): void {
    const now = performance.now();
    // The first step includes the compilation, so its speed is unknown.
    if (this.#stepped === undefined) this.#firstSpeed = progress.step + 1;
    else this.#speeds.push((1000 * this.#run.batchSize) / (now - this.#stepped));
    [this.#stepped, this.#progress] = [now, progress];
    this.#page.changed();
  }

  onValidation(validation: TrainValidation): void {
    this.#validation = validation;
    this.#page.changed();
  }

  onFinding(finding: Finding): void {
    this.#findings.push(finding);
    this.#page.changed();
  }

  /** Shows how the run ended. */
  end(outcome: string): void {
    this.#outcome = outcome;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#page[Symbol.asyncDispose]();
  }

  async #parts(): Promise<Record<string, string>> {
    // Before the first step the folder may hold lines that the resumed run will remove.
    if (this.#progress) await this.#metrics.read();
    const { metrics, validation } = this.#metrics;
    return watchParts(this.#run, {
      progress: this.#progress,
      metrics,
      validation,
      speeds: this.#speeds,
      firstSpeed: this.#firstSpeed,
      findings: this.#findings,
      predictions: await this.#shownPredictions(),
      outcome: this.#outcome,
    });
  }

  async #shownPredictions(): Promise<WatchState["predictions"]> {
    const of = this.#validation;
    if (!of) return "They appear after the first validation.";
    if (this.#predictions?.of !== of) {
      const { logitScale } = this.#metrics.metrics.at(-1)!;
      const shown = await this.#shown.choose(of.predictions, logitScale).catch((error: Error) => error.message);
      this.#predictions = { of, shown };
    }
    return this.#predictions.shown;
  }
}
