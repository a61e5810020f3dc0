import { availableParallelism, totalmem } from "node:os";
import { ClipError } from "../../../core/errors.ts";
import { cut } from "../../../core/listing.ts";
import type { AugmentConfig } from "../../../inputs/image/augment.ts";
import type { PreprocessConfig } from "../../../inputs/image/preprocess-config.ts";
import { oneProcess, type Processes } from "../../../engine/distributed/group.ts";
import { imageLocationOf } from "../../../inputs/data/image-location.ts";
import { Remote } from "../../../engine/threads/remote.ts";
import type { TextTokenizer } from "../../../inputs/text/tokenizer.ts";
import { captionGroups } from "../../../inputs/data/caption-groups.ts";
import { type SyntheticCaptionsObjective, decoderOf } from "./synthetic-captions.ts";
import type { DataRows, DataWorkerMethods, DataWorkerSetup, RowRequest } from "./data-worker.ts";
import type { PairPixels, TextTensors } from "./pair-tensors.ts";
import type { SkippedImage } from "../../../inputs/data/image-files.ts";
import type { Sample } from "../../../inputs/data/sources/samples.ts";
import { assertWhole, Sampler, type SamplerOptions } from "./sampling.ts";

export interface DataLoaderOptions extends SamplerOptions {
  readonly preprocess: PreprocessConfig;
  /** Default: none, images are preprocessed as for inference. */
  readonly augment?: AugmentConfig | undefined;
  readonly tokenizer: TextTokenizer;
  /** L; longer captions are truncated. */
  readonly contextLength: number;
  /** Adds the samples' synthetic captions to the batches. */
  readonly objective?: SyntheticCaptionsObjective | undefined;
  /** Threads; batches do not depend on it. Default 1, or 2 with at least 4 cores. */
  readonly workers?: number | undefined;
  /** Batches made ahead. Default 4, or as many as fit into 512 MiB. */
  readonly prefetch?: number | undefined;
  /** Size of the cache of decoded images, all threads together. Default 2 GiB, at most a quarter of the memory. */
  readonly cacheBytes?: number | undefined;
  /** Images with more pixels count as broken. Default: the limit of `decodeImage`. */
  readonly maxImagePixels?: number | undefined;
  /** The processes that share each batch in equal parts, by rank. Default: this one. */
  readonly processes?: Processes | undefined;
}

/** The pairs of a training step, or a process's share of them. */
export interface TrainingBatch extends PairPixels {
  readonly step: number;
  /** [N], indices of the samples. */
  readonly samples: Uint32Array;
  /** [N], as drawn, before cleaning and truncation. */
  readonly captions: string[];
}

/** A batch before broken images are replaced and captions grouped. */
interface FilledBatch {
  readonly batch: TrainingBatch;
  readonly brokenRows: readonly number[];
}

type RowValues = Uint8Array | Int32Array | Float32Array;

/** Rows per call of a worker: a large batch is never in memory twice. */
const rowsAtOnce = 64;
const maxBatchesAhead = 4;
const maxBytesAhead = 2 ** 29;

const syntheticRows = ["inputIds", "endOfText", "writtenIds", "tokenWeights"] as const;

/** With a larger share of broken images a loader fails. */
const maxBrokenShare = 0.5;

/**
 * Makes the batches of a training run on worker threads, ahead of the steps: decodes, augments and tokenizes.
 *
 * A batch depends only on samples, options and step, not on threads, cache or resuming. A broken image is listed in `broken` and
 * replaced by the epoch's next sample outside the batch.
 */
export class DataLoader implements AsyncDisposable {
  readonly stepsPerEpoch: number;
  readonly #samples: readonly Sample[];
  readonly #options: DataLoaderOptions & { readonly prefetch: number };
  readonly #sampler: Sampler;
  readonly #processes: Processes;
  readonly #workers: readonly Remote<DataWorkerMethods>[];
  readonly #started: Promise<unknown>;
  readonly #broken = new Map<number, SkippedImage>();
  /** Time spent waiting for batches, images decoded (cache hits excluded), and captions too long for the context. */
  readonly #stats = { waitSeconds: 0, decodedImages: 0, truncatedCaptions: 0 };

  /**
   * @throws {ClipError} `CLIP_DATA` if there are fewer samples than a batch needs; `CLIP_CONFIG` if an option is out of range.
   */
  constructor(samples: readonly Sample[], options: DataLoaderOptions) {
    const { preprocess, augment, tokenizer, contextLength, maxImagePixels } = options;
    const batchBytes = options.batchSize * 3 * preprocess.imageSize ** 2;
    const { prefetch = Math.min(maxBatchesAhead, Math.floor(maxBytesAhead / batchBytes)) } = options;
    const { workers = availableParallelism() >= 4 ? 2 : 1 } = options;
    const { cacheBytes = Math.min(2 ** 31, Math.floor(totalmem() / 4)) } = options;
    assertWhole({ workers }, 1);
    assertWhole({ prefetch, cacheBytes }, 0);
    this.#samples = samples;
    this.#options = { ...options, prefetch };
    this.#sampler = new Sampler(samples, options);
    this.#processes = options.processes ?? oneProcess;
    this.stepsPerEpoch = this.#sampler.stepsPerEpoch;
    const setup: DataWorkerSetup = {
      preprocess,
      augment,
      tokenizer: tokenizer.source,
      contextLength,
      captionLength: decoderOf(options.objective)?.length ?? 0,
      cacheBytes: cacheBytes / workers,
      maxImagePixels,
    };
    this.#workers = Array.from({ length: workers }, () => new Remote("learning/train/batches/data-worker"));
    this.#started = Promise.all(this.#workers.map((worker) => worker.call("create", [setup])));
    this.#started.catch(() => undefined); // #ask reports the error
  }

  /** Broken images found so far. */
  get broken(): readonly SkippedImage[] {
    return [...this.#broken.values()];
  }

  get stats() {
    return { ...this.#stats };
  }

  /**
   * The batches of steps `fromStep` (default 0) up to but excluding `toStep`. To stop early, leave the loop.
   *
   * @throws {ClipError} `CLIP_DATA` if more than half of all images are broken, too few are left for a batch, or a thread fails.
   */
  async *batches({ fromStep = 0, toStep }: { fromStep?: number; toStep: number }): AsyncGenerator<TrainingBatch> {
    const ahead: Promise<FilledBatch>[] = [];
    for (let step = fromStep; step < toStep; step++) {
      while (ahead.length <= this.#options.prefetch && step + ahead.length < toStep) {
        const batch = this.#fillBatch(step + ahead.length);
        batch.catch(() => undefined); // thrown when the batch is taken
        ahead.push(batch);
      }
      const start = performance.now();
      const batch = await this.#replaceBroken(await ahead.shift()!);
      this.#stats.waitSeconds += (performance.now() - start) / 1000;
      yield batch;
    }
  }

  /** Ends the threads; batches that are still awaited fail. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.end()));
  }

  /** This process's rows of a step's batch; those with broken images are empty. */
  async #fillBatch(step: number): Promise<FilledBatch> {
    const { batchSize, contextLength, preprocess, objective } = this.#options;
    const { rank, size } = this.#processes;
    const rows = batchSize / size;
    const written = rows * (decoderOf(objective)?.length ?? 0);
    const batch: TrainingBatch = {
      step,
      samples: this.#sampler.drawSamples(step).slice(rank * rows, (rank + 1) * rows),
      pixels: new Uint8Array(rows * 3 * preprocess.imageSize ** 2),
      ...emptyTexts(rows, contextLength),
      captions: new Array<string>(rows).fill(""),
      synthetic: objective && {
        ...emptyTexts(rows, contextLength),
        ...{ writtenIds: new Int32Array(written), tokenWeights: new Float32Array(written) },
      },
    };
    return { batch, brokenRows: await this.#fillRows(batch, Array.from(batch.samples.keys())) };
  }

  /**
   * Puts other samples into rows with broken images. The choice depends on the rows of all processes, so each shares its broken ones.
   */
  async #replaceBroken({ batch, brokenRows }: FilledBatch): Promise<TrainingBatch> {
    const replacements = this.#sampler.replacements(batch.step);
    const broken = await this.#share(brokenRows.map((row) => batch.samples[row]!));
    // Row by row: a replacement must not depend on which images were already known to be broken.
    for (const [rank, samples] of broken.entries()) {
      for (const i of samples.keys()) {
        const isOwn = rank === this.#processes.rank;
        const tried = await this.#share(isOwn ? await this.#replaceRow(batch, brokenRows[i]!, replacements) : []);
        if (!isOwn) for (let n = 0; n <= tried[rank]!.length; n++) this.#nextReplacement(replacements);
      }
    }
    setGroups(batch);
    if (batch.synthetic) {
      setGroups(batch.synthetic);
      await this.#normalize(batch.synthetic.tokenWeights);
    }
    return batch;
  }

  /** Gives a row the first usable replacement; returns the broken ones before it. */
  async #replaceRow(batch: TrainingBatch, row: number, replacements: Iterator<number, unknown>): Promise<number[]> {
    const tried: number[] = [];
    for (;;) {
      const sample = (batch.samples[row] = this.#nextReplacement(replacements));
      if ((await this.#fillRows(batch, [row])).length === 0) return tried;
      tried.push(sample);
    }
  }

  /** Exchanges broken samples between the processes; returns those of each. */
  async #share(broken: readonly number[]): Promise<readonly (readonly number[])[]> {
    const own = broken.map((sample) => [sample, this.#broken.get(sample)!.reason] as const);
    const all = await this.#processes.exchange(JSON.stringify(own));
    return all.map((text) => {
      const theirs = JSON.parse(text) as typeof own;
      for (const [sample, reason] of theirs) this.#markBroken(sample, reason);
      return theirs.map(([sample]) => sample);
    });
  }

  /** Scales weights to a sum of 1 over all processes. */
  async #normalize(weights: Float32Array): Promise<void> {
    const own = weights.reduce((sum, weight) => sum + weight, 0);
    const total = (await this.#processes.exchange(`${own}`)).reduce((sum, each) => sum + Number(each), 0);
    for (let i = 0; i < weights.length; i++) weights[i]! /= total;
  }

  /** Makes rows of a batch, each on the thread that caches its image; returns those with broken images. */
  async #fillRows(batch: TrainingBatch, rows: readonly number[]): Promise<number[]> {
    const healthy = rows.filter((row) => !this.#broken.has(batch.samples[row]!));
    await Promise.all(
      this.#workers.map(async (worker, owner) => {
        const owned = healthy.filter((row) => batch.samples[row]! % this.#workers.length === owner);
        for (let start = 0; start < owned.length; start += rowsAtOnce)
          await this.#fillPart(batch, owned.slice(start, start + rowsAtOnce), worker);
      }),
    );
    return rows.filter((row) => this.#broken.has(batch.samples[row]!));
  }

  /** Copies rows made by a worker into a batch. */
  async #fillPart(batch: TrainingBatch, rows: readonly number[], worker: Remote<DataWorkerMethods>): Promise<void> {
    const requests = rows.map((row) => this.#requestRow(batch.step, batch.samples[row]!));
    const made = await this.#ask(worker, requests);
    for (const [i, row] of rows.entries()) {
      batch.captions[row] = requests[i]!.caption;
      const put = (target: RowValues, values: RowValues) => {
        const length = values.length / rows.length;
        target.set(values.subarray(i * length, (i + 1) * length), row * length);
      };
      for (const name of ["pixels", "inputIds", "endOfText"] as const) put(batch[name], made[name]);
      for (const name of syntheticRows) if (made.synthetic) put(batch.synthetic![name], made.synthetic[name]);
    }
    for (const { row, reason } of made.broken) this.#markBroken(batch.samples[rows[row]!]!, reason);
    this.#stats.decodedImages += made.decodedImages;
    this.#stats.truncatedCaptions += made.truncatedCaptions;
  }

  async #ask(worker: Remote<DataWorkerMethods>, rows: readonly RowRequest[]): Promise<DataRows> {
    try {
      await this.#started;
      return await worker.call("makeRows", [rows]);
    } catch (cause) {
      throw new ClipError("CLIP_DATA", `a data worker failed: ${(cause as Error).message}`, { cause });
    }
  }

  #requestRow(step: number, sample: number): RowRequest {
    return {
      image: imageLocationOf(this.#samples[sample]!),
      caption: this.#sampler.drawCaption(step, sample),
      synthetic: this.#options.objective && this.#sampler.drawSynthetic(step, sample),
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
    const examples = this.broken.slice(0, 3).map(({ reason }) => `\n  ${cut(reason)}`);
    const count = `${this.#broken.size} of ${this.#samples.length} images cannot be used, ${problem}`;
    return new ClipError("CLIP_DATA", `${count}; repair or remove them, for example:${examples.join("")}`);
  }
}

function setGroups({ inputIds, captionGroup }: TextTensors): void {
  captionGroup.set(captionGroups(inputIds, captionGroup.length));
}

function emptyTexts(pairs: number, contextLength: number): TextTensors {
  return {
    inputIds: new Int32Array(pairs * contextLength),
    endOfText: new Int32Array(pairs),
    captionGroup: new Int32Array(pairs),
  };
}
