import { availableParallelism, totalmem } from "node:os";
import { ClipError } from "../core/errors.ts";
import type { AugmentConfig } from "../image/augment.ts";
import type { PreprocessConfig } from "../image/preprocess-config.ts";
import { Remote } from "../runtime/remote.ts";
import type { ClipTokenizer } from "../text/tokenizer.ts";
import type { DataRows, DataWorkerMethods, DataWorkerSetup, RowRequest } from "./data-worker.ts";
import type { Sample, SkippedImage } from "./sources/samples.ts";
import { Sampler, type SamplerOptions } from "./sampling.ts";

export interface DataLoaderOptions extends SamplerOptions {
  readonly preprocess: PreprocessConfig;
  /** Without it every picture is preprocessed as for inference. */
  readonly augment?: AugmentConfig | undefined;
  readonly tokenizer: ClipTokenizer;
  /** L. Longer captions are cut. */
  readonly contextLength: number;
  /** Threads; what comes out does not depend on it. Default 1, with 4 cores or more 2. */
  readonly workers?: number | undefined;
  /** Batches made ahead of the one in use. Default 4. */
  readonly prefetch?: number | undefined;
  /** Decoded pictures to keep, all threads together, 4 bytes a pixel. Default 2 GiB, at most a quarter of the memory. */
  readonly cacheBytes?: number | undefined;
  /** Larger pictures are broken. Default: those that `decodeImage` refuses. */
  readonly maxImagePixels?: number | undefined;
}

/** What a training step sees: N pairs, S = `imageSize`. */
export interface TrainingBatch {
  readonly step: number;
  /** [N] indices of the samples. */
  readonly samples: Uint32Array;
  /** [N, 3, S, S], standardised. */
  readonly pixelValues: Float32Array;
  /** [N, L]. */
  readonly inputIds: Int32Array;
  /** [N] where each text ends. */
  readonly endOfText: Int32Array;
  /** [N] the first row with the same ids: rows of one group cannot be told apart by their texts. */
  readonly captionGroup: Int32Array;
  /** [N] as drawn, before cleaning and cutting. */
  readonly captions: readonly string[];
}

type BatchInTheMaking = TrainingBatch & { readonly captions: string[] };

/** What a loader did so far. */
export interface DataLoaderStats {
  /** Time a consumer spent waiting for a batch. */
  readonly waitSeconds: number;
  /** Pictures decoded rather than found in the cache. */
  readonly decodedImages: number;
  /** Captions that did not fit the context. */
  readonly truncatedCaptions: number;
}

/** A loader gives up when more than this share of all pictures is broken. */
const maxBrokenShare = 0.5;

/**
 * Makes the batches of a training run on worker threads, ahead of the steps: decodes, augments and tokenises.
 *
 * A batch is a function of samples, options and step alone: the number of threads, the cache, and where a run was
 * interrupted do not show in it. A broken picture is listed in `broken` and replaced by the next sample of its epoch that
 * the batch does not hold. `await using` ends the threads.
 */
export class DataLoader implements AsyncDisposable {
  readonly stepsPerEpoch: number;
  readonly #samples: readonly Sample[];
  readonly #options: DataLoaderOptions;
  readonly #prefetch: number;
  readonly #sampler: Sampler;
  readonly #workers: readonly Remote<DataWorkerMethods>[];
  readonly #started: Promise<unknown>;
  readonly #broken = new Map<number, SkippedImage>();
  readonly #stats = { waitSeconds: 0, decodedImages: 0, truncatedCaptions: 0 };

  /**
   * @throws {ClipError} `CLIP_DATA` if there are fewer samples than a batch takes; `CLIP_CONFIG` if an option is not a
   *   number that makes sense.
   */
  constructor(samples: readonly Sample[], options: DataLoaderOptions) {
    const { preprocess, augment, tokenizer, contextLength, prefetch = 4 } = options;
    const { workers = availableParallelism() >= 4 ? 2 : 1 } = options;
    const { cacheBytes = Math.min(2 ** 31, Math.floor(totalmem() / 4)) } = options;
    assertWhole({ workers }, 1);
    assertWhole({ prefetch, cacheBytes }, 0);
    [this.#samples, this.#options, this.#prefetch] = [samples, options, prefetch];
    this.#sampler = new Sampler(samples, options);
    this.stepsPerEpoch = this.#sampler.stepsPerEpoch;
    const setup: DataWorkerSetup = {
      preprocess,
      augment,
      merges: tokenizer.merges,
      contextLength,
      cacheBytes: cacheBytes / workers,
      maxImagePixels: options.maxImagePixels,
    };
    this.#workers = Array.from({ length: workers }, () => new Remote(new URL("./data-worker", import.meta.url)));
    this.#started = Promise.all(this.#workers.map((worker) => worker.call("create", [setup])));
    this.#started.catch(() => undefined); // whoever asks for a batch gets the error
  }

  /** The broken pictures met so far. */
  get broken(): readonly SkippedImage[] {
    return [...this.#broken.values()];
  }

  get stats(): DataLoaderStats {
    return { ...this.#stats };
  }

  /**
   * The batches of steps `fromStep` (default 0) to before `toStep`, in order. To stop early, leave the loop.
   *
   * @throws {ClipError} `CLIP_DATA` if more than half of all pictures are broken, too few are left for a batch, or a
   *   thread died.
   */
  async *batches({ fromStep = 0, toStep }: { fromStep?: number; toStep: number }): AsyncGenerator<TrainingBatch> {
    const ahead: Promise<TrainingBatch>[] = [];
    for (let step = fromStep; step < toStep; step++) {
      while (ahead.length <= this.#prefetch && step + ahead.length < toStep) {
        const batch = this.#makeBatch(step + ahead.length);
        batch.catch(() => undefined); // whoever takes it gets the error; nobody does after leaving early
        ahead.push(batch);
      }
      const start = performance.now();
      const batch = await ahead.shift()!;
      this.#stats.waitSeconds += (performance.now() - start) / 1000;
      yield batch;
    }
  }

  /** Ends the threads; whoever still waits for a batch gets an error. */
  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.end()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #makeBatch(step: number): Promise<TrainingBatch> {
    const { batchSize, contextLength, preprocess } = this.#options;
    const batch: BatchInTheMaking = {
      step,
      samples: this.#sampler.drawSamples(step),
      pixelValues: new Float32Array(batchSize * 3 * preprocess.imageSize ** 2),
      inputIds: new Int32Array(batchSize * contextLength),
      endOfText: new Int32Array(batchSize),
      captionGroup: new Int32Array(batchSize),
      captions: new Array<string>(batchSize).fill(""),
    };
    const replacements = this.#sampler.replacements(step);
    // One row after the other: what replaces a row must not depend on which pictures were known to be broken before.
    for (const row of await this.#fillRows(batch, Array.from(batch.samples.keys()))) {
      do batch.samples[row] = this.#nextReplacement(replacements);
      while ((await this.#fillRows(batch, [row])).length > 0);
    }
    groupCaptions(batch);
    return batch;
  }

  /** Makes rows of a batch, each on the thread that has its picture in its cache; returns those that are broken. */
  async #fillRows(batch: BatchInTheMaking, rows: readonly number[]): Promise<number[]> {
    const healthy = rows.filter((row) => !this.#broken.has(batch.samples[row]!));
    await Promise.all(
      this.#workers.map(async (worker, owner) => {
        const owned = healthy.filter((row) => batch.samples[row]! % this.#workers.length === owner);
        if (owned.length === 0) return;
        const requests = owned.map((row) => this.#requestRow(batch.step, batch.samples[row]!));
        const made = await this.#ask(worker, requests);
        owned.forEach((row, i) => {
          batch.captions[row] = requests[i]!.caption;
          for (const name of ["pixelValues", "inputIds", "endOfText"] as const) {
            const length = made[name].length / owned.length;
            batch[name].set(made[name].subarray(i * length, (i + 1) * length), row * length);
          }
        });
        for (const { row, reason } of made.broken) this.#markBroken(batch.samples[owned[row]!]!, reason);
        this.#stats.decodedImages += made.decodedImages;
        this.#stats.truncatedCaptions += made.truncatedCaptions;
      }),
    );
    return rows.filter((row) => this.#broken.has(batch.samples[row]!));
  }

  async #ask(worker: Remote<DataWorkerMethods>, rows: readonly RowRequest[]): Promise<DataRows> {
    try {
      await this.#started;
      return await worker.call("makeRows", [rows]);
    } catch (cause) {
      throw new ClipError("CLIP_DATA", `a data worker cannot go on: ${(cause as Error).message}`, { cause });
    }
  }

  #requestRow(step: number, sample: number): RowRequest {
    const { image, bytes } = this.#samples[sample]!;
    return {
      picture: { image, ...(bytes && { bytes }) },
      caption: this.#sampler.drawCaption(step, sample),
      augmentationKey: this.#sampler.augmentationKey(step, sample),
    };
  }

  #markBroken(sample: number, reason: string): void {
    this.#broken.set(sample, { image: this.#samples[sample]!.image, reason });
    if (this.#broken.size > maxBrokenShare * this.#samples.length) throw this.#tooManyBroken("more than half are");
  }

  #nextReplacement(replacements: Iterator<number, unknown>): number {
    const { done, value } = replacements.next();
    if (done) throw this.#tooManyBroken(`too few are left for a batch of ${this.#options.batchSize}`);
    return value;
  }

  #tooManyBroken(problem: string): ClipError {
    const examples = this.broken.slice(0, 3).map(({ reason }) => `\n  ${reason}`);
    const met = `${this.#broken.size} of ${this.#samples.length} pictures cannot be used, ${problem}`;
    return new ClipError("CLIP_DATA", `${met}; repair or remove them, such as:${examples.join("")}`);
  }
}

/** Rows with equal ids share the number of the first of them. */
export function groupCaptions({ inputIds, captionGroup }: Pick<TrainingBatch, "inputIds" | "captionGroup">): void {
  const length = inputIds.length / captionGroup.length;
  const firstWith = new Map<string, number>();
  for (let row = 0; row < captionGroup.length; row++) {
    const ids = inputIds.subarray(row * length, (row + 1) * length).join();
    if (!firstWith.has(ids)) firstWith.set(ids, row);
    captionGroup[row] = firstWith.get(ids)!;
  }
}

function assertWhole(options: Readonly<Record<string, number>>, least: number): void {
  for (const [name, value] of Object.entries(options)) {
    if (Number.isSafeInteger(value) && value >= least) continue;
    throw new ClipError("CLIP_CONFIG", `${name} is ${value}; it must be a whole number of at least ${least}`);
  }
}
