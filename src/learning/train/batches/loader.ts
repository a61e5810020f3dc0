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
import type { SyntheticTensors } from "./pair-tensors.ts";
import type { Sample, SkippedImage } from "../../../inputs/data/sources/samples.ts";
import { Sampler, type SamplerOptions } from "./sampling.ts";

export interface DataLoaderOptions extends SamplerOptions {
  readonly preprocess: PreprocessConfig;
  /** Without it every image is preprocessed as for inference. */
  readonly augment?: AugmentConfig | undefined;
  readonly tokenizer: TextTokenizer;
  /** L. Longer captions are cut. */
  readonly contextLength: number;
  /** With it batches have the samples' synthetic captions too. */
  readonly objective?: SyntheticCaptionsObjective | undefined;
  /** Threads; what comes out does not depend on it. Default 1, with 4 cores or more 2. */
  readonly workers?: number | undefined;
  /** Batches made ahead of the one in use. Default 4, or as many as fit into 512 MiB. */
  readonly prefetch?: number | undefined;
  /** Decoded images to keep, all threads together, 4 bytes a pixel. Default 2 GiB, at most a quarter of the memory. */
  readonly cacheBytes?: number | undefined;
  /** Larger images are broken. Default: those that `decodeImage` refuses. */
  readonly maxImagePixels?: number | undefined;
  /** The processes that share each batch, its rows in equal parts by rank. Default: this one alone. */
  readonly peers?: Processes | undefined;
}

/** What a training step sees: N pairs, or the share of one of several processes, S = `imageSize`. */
export interface TrainingBatch {
  readonly step: number;
  /** [N] indices of the samples. */
  readonly samples: Uint32Array;
  /** 8-bit RGB [N, S, S, 3]: a quarter of what they have as standardised numbers. */
  readonly pixels: Uint8Array;
  /** [N, L]. */
  readonly inputIds: Int32Array;
  /** [N] where each text ends. */
  readonly endOfText: Int32Array;
  /** [N] the first row with the same ids: rows of one group cannot be told apart by their texts. */
  readonly captionGroup: Int32Array;
  readonly synthetic?: SyntheticTensors | undefined;
  /** [N] as drawn, before cleaning and cutting. */
  readonly captions: readonly string[];
}

interface BatchInTheMaking extends Omit<TrainingBatch, "captionGroup" | "synthetic"> {
  readonly captions: string[];
  readonly synthetic?: Omit<SyntheticTensors, "captionGroup"> | undefined;
}

/** A batch, and its rows whose images are broken. */
interface FilledBatch {
  readonly batch: BatchInTheMaking;
  readonly brokenRows: readonly number[];
}

/** What a loader did so far. */
export interface DataLoaderStats {
  /** Time a consumer spent waiting for a batch. */
  readonly waitSeconds: number;
  /** Images decoded rather than found in the cache. */
  readonly decodedImages: number;
  /** Captions that did not fit the context. */
  readonly truncatedCaptions: number;
}

type RowValues = Uint8Array | Int32Array | Float32Array;

/** A large batch is made in parts, so that it is not held twice. */
const rowsAtOnce = 64;
const maxBatchesAhead = 4;
const maxBytesAhead = 2 ** 29;

const syntheticRows = ["inputIds", "endOfText", "writtenIds", "tokenWeights"] as const;

/** A loader gives up when more than this share of all images is broken. */
const maxBrokenShare = 0.5;

/**
 * Makes the batches of a training run on worker threads, ahead of the steps: decodes, augments and tokenises.
 *
 * A batch is a function of samples, options and step alone: the number of threads, the cache, and where a run was
 * interrupted do not show in it. A broken image is listed in `broken` and replaced by the next sample of its epoch that
 * the batch does not hold. `await using` ends the threads.
 */
export class DataLoader implements AsyncDisposable {
  readonly stepsPerEpoch: number;
  readonly #samples: readonly Sample[];
  readonly #options: DataLoaderOptions;
  readonly #prefetch: number;
  readonly #sampler: Sampler;
  readonly #peers: Processes;
  readonly #workers: readonly Remote<DataWorkerMethods>[];
  readonly #started: Promise<unknown>;
  readonly #broken = new Map<number, SkippedImage>();
  readonly #stats = { waitSeconds: 0, decodedImages: 0, truncatedCaptions: 0 };

  /**
   * @throws {ClipError} `CLIP_DATA` if there are fewer samples than a batch takes; `CLIP_CONFIG` if an option is not a
   *   number that makes sense.
   */
  constructor(samples: readonly Sample[], options: DataLoaderOptions) {
    const { preprocess, augment, tokenizer, contextLength } = options;
    const batchBytes = options.batchSize * 3 * preprocess.imageSize ** 2;
    const { prefetch = Math.min(maxBatchesAhead, Math.floor(maxBytesAhead / batchBytes)) } = options;
    const { workers = availableParallelism() >= 4 ? 2 : 1 } = options;
    const { cacheBytes = Math.min(2 ** 31, Math.floor(totalmem() / 4)) } = options;
    assertWhole({ workers }, 1);
    assertWhole({ prefetch, cacheBytes }, 0);
    [this.#samples, this.#options, this.#prefetch] = [samples, options, prefetch];
    this.#sampler = new Sampler(samples, options);
    this.#peers = options.peers ?? oneProcess;
    this.stepsPerEpoch = this.#sampler.stepsPerEpoch;
    const setup: DataWorkerSetup = {
      preprocess,
      augment,
      tokenizer: tokenizer.source,
      contextLength,
      captionLength: decoderOf(options.objective)?.length ?? 0,
      cacheBytes: cacheBytes / workers,
      maxImagePixels: options.maxImagePixels,
    };
    this.#workers = Array.from({ length: workers }, () => new Remote("learning/train/batches/data-worker"));
    this.#started = Promise.all(this.#workers.map((worker) => worker.call("create", [setup])));
    this.#started.catch(() => undefined); // whoever asks for a batch gets the error
  }

  /** The broken images met so far. */
  get broken(): readonly SkippedImage[] {
    return [...this.#broken.values()];
  }

  get stats(): DataLoaderStats {
    return { ...this.#stats };
  }

  /**
   * The batches of steps `fromStep` (default 0) to before `toStep`, in order. To stop early, leave the loop.
   *
   * @throws {ClipError} `CLIP_DATA` if more than half of all images are broken, too few are left for a batch, or a
   *   thread died.
   */
  async *batches({ fromStep = 0, toStep }: { fromStep?: number; toStep: number }): AsyncGenerator<TrainingBatch> {
    const ahead: Promise<FilledBatch>[] = [];
    for (let step = fromStep; step < toStep; step++) {
      while (ahead.length <= this.#prefetch && step + ahead.length < toStep) {
        const batch = this.#fillBatch(step + ahead.length);
        batch.catch(() => undefined); // whoever takes it gets the error; nobody does after leaving early
        ahead.push(batch);
      }
      const start = performance.now();
      const batch = await this.#replaceBroken(await ahead.shift()!);
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

  /** This process's rows of a step's batch, but for those whose images are broken. */
  async #fillBatch(step: number): Promise<FilledBatch> {
    const { batchSize, contextLength, preprocess, objective } = this.#options;
    const { rank, size } = this.#peers;
    const rows = batchSize / size;
    const batch: BatchInTheMaking = {
      step,
      samples: this.#sampler.drawSamples(step).slice(rank * rows, (rank + 1) * rows),
      pixels: new Uint8Array(rows * 3 * preprocess.imageSize ** 2),
      inputIds: new Int32Array(rows * contextLength),
      endOfText: new Int32Array(rows),
      captions: new Array<string>(rows).fill(""),
      ...(objective && { synthetic: emptySynthetic(rows, contextLength, decoderOf(objective)?.length ?? 0) }),
    };
    return { batch, brokenRows: await this.#fillRows(batch, Array.from(batch.samples.keys())) };
  }

  /**
   * Puts other samples into the rows whose images are broken. Which ones follows from the rows of all processes: each is told what
   * the others met.
   */
  async #replaceBroken({ batch, brokenRows }: FilledBatch): Promise<TrainingBatch> {
    const replacements = this.#sampler.replacements(batch.step);
    const met = await this.#share(brokenRows.map((row) => batch.samples[row]!));
    // One row after the other: what replaces a row must not depend on which images were known to be broken before.
    for (const [rank, samples] of met.entries()) {
      for (const i of samples.keys()) {
        const isOwn = rank === this.#peers.rank;
        const tried = await this.#share(isOwn ? await this.#replaceRow(batch, brokenRows[i]!, replacements) : []);
        if (!isOwn) for (let n = 0; n <= tried[rank]!.length; n++) this.#nextReplacement(replacements);
      }
    }
    const grouped = <Rows extends { readonly inputIds: Int32Array }>(rows: Rows) => ({
      ...rows,
      captionGroup: captionGroups(rows.inputIds, batch.samples.length),
    });
    if (!batch.synthetic) return { ...grouped(batch), synthetic: undefined };
    await this.#shareOut(batch.synthetic.tokenWeights);
    return { ...grouped(batch), synthetic: grouped(batch.synthetic) };
  }

  /** Gives a row the first replacement that can be used, and returns those that could not. */
  async #replaceRow(batch: BatchInTheMaking, row: number, replacements: Iterator<number, unknown>): Promise<number[]> {
    const tried: number[] = [];
    for (;;) {
      const sample = (batch.samples[row] = this.#nextReplacement(replacements));
      if ((await this.#fillRows(batch, [row])).length === 0) return tried;
      tried.push(sample);
    }
  }

  /** Tells the other processes of broken samples, and gives what each tells. */
  async #share(broken: readonly number[]): Promise<readonly (readonly number[])[]> {
    const own = broken.map((sample) => [sample, this.#broken.get(sample)!.reason] as const);
    const all = await this.#peers.exchange(JSON.stringify(own));
    return all.map((text) => {
      const told = JSON.parse(text) as typeof own;
      for (const [sample, reason] of told) this.#markBroken(sample, reason);
      return told.map(([sample]) => sample);
    });
  }

  /** Scales weights of 0 and 1 to a sum of 1, over all processes. */
  async #shareOut(weights: Float32Array): Promise<void> {
    const own = weights.reduce((sum, weight) => sum + weight, 0);
    const total = (await this.#peers.exchange(`${own}`)).reduce((sum, each) => sum + Number(each), 0);
    for (let i = 0; i < weights.length; i++) weights[i]! /= total;
  }

  /** Makes rows of a batch, each on the thread that has its image in its cache; returns those that are broken. */
  async #fillRows(batch: BatchInTheMaking, rows: readonly number[]): Promise<number[]> {
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

  /** Has a thread make some rows of a batch, and puts them there. */
  async #fillPart(batch: BatchInTheMaking, rows: readonly number[], worker: Remote<DataWorkerMethods>): Promise<void> {
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
      throw new ClipError("CLIP_DATA", `a data worker cannot go on: ${(cause as Error).message}`, { cause });
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
    const met = `${this.#broken.size} of ${this.#samples.length} images cannot be used, ${problem}`;
    return new ClipError("CLIP_DATA", `${met}; repair or remove them, such as:${examples.join("")}`);
  }
}

/** To be filled row by row. */
function emptySynthetic(
  pairs: number,
  contextLength: number,
  captionLength: number,
): Omit<SyntheticTensors, "captionGroup"> {
  return {
    inputIds: new Int32Array(pairs * contextLength),
    endOfText: new Int32Array(pairs),
    writtenIds: new Int32Array(pairs * captionLength),
    tokenWeights: new Float32Array(pairs * captionLength),
  };
}

function assertWhole(options: Readonly<Record<string, number>>, least: number): void {
  for (const [name, value] of Object.entries(options)) {
    if (Number.isSafeInteger(value) && value >= least) continue;
    throw new ClipError("CLIP_CONFIG", `${name} is ${value}; it must be a whole number of at least ${least}`);
  }
}
