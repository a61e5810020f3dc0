import { readRange, fileSize } from "../../core/files.ts";
import type { TrainMetric, ValidationResult } from "../report/train-page.ts";
import type { MetricsLine } from "../../learning/train/run-folder.ts";

/** Reads a run's `metrics.jsonl`, which may still grow. */
export class RunMetrics {
  readonly metrics: TrainMetric[] = [];
  readonly validation: ValidationResult[] = [];
  readonly #path: string;
  /** Bytes of the whole lines read so far. */
  #read = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Reads the lines that were added since the last call.
   *
   * @throws {ClipError} `CLIP_FILE` if it cannot be read.
   */
  async read(): Promise<this> {
    const size = (await fileSize(this.#path)) ?? 0;
    const bytes = Buffer.from(await readRange(this.#path, this.#read, size - this.#read));
    const whole = bytes.subarray(0, bytes.lastIndexOf("\n") + 1);
    this.#read += whole.length;
    for (const text of whole.toString().split("\n").slice(0, -1)) {
      const line = JSON.parse(text) as MetricsLine;
      if ("validation" in line) this.validation.push({ step: line.step, ...line.validation });
      else this.metrics.push(line);
    }
    return this;
  }
}
