import { ClipError } from "../../../core/errors.ts";
import { Random } from "../../../core/random.ts";
import { subCaptions, type SyntheticDraw } from "./synthetic-captions.ts";
import type { Pairs, Sample } from "../../../inputs/data/sources/samples.ts";

/** First keys of the random streams that share a seed. */
export const purposes = { order: 1, caption: 2, augmentation: 3, patches: 4, sentence: 5, heldOut: 6 } as const;

export interface SamplerOptions {
  /** Samples per batch, N. */
  readonly batchSize: number;
  readonly seed: number;
  /**
   * Number of samples of each source, and how often an epoch draws each; the fraction of a weight is the share drawn once more.
   * Default: each once.
   */
  readonly mixture?: Pairs["mixture"] | undefined;
  /** Reads shard after shard, each epoch in a new order, and shuffles within a buffer of this many samples. Default: shuffles all samples. */
  readonly shuffleBuffer?: number | undefined;
}

/**
 * Draws the samples of every step of a training run. A draw depends only on seed and step, so a resumed run sees the same samples.
 *
 * Each epoch has a new order, with each sample once or by the weight of its source. An incomplete last batch is dropped.
 */
export class Sampler {
  /** Complete batches in an epoch. */
  readonly stepsPerEpoch: number;
  readonly #samples: readonly Sample[];
  readonly #options: SamplerOptions & { readonly mixture: NonNullable<Pairs["mixture"]> };
  /** For each sample the first one with the same captions: the key of its caption draws. */
  readonly #captionList: Uint32Array;
  /** For each sample the first one with the same synthetic caption. */
  readonly #syntheticCaption: Uint32Array;
  #order: { readonly epoch: number; readonly samples: Uint32Array } | undefined;

  /** @throws {ClipError} `CLIP_DATA` if there are fewer samples than one batch takes. */
  constructor(samples: readonly Sample[], options: SamplerOptions) {
    const { batchSize, mixture = [{ count: samples.length, weight: 1 }] } = options;
    assertWhole({ batchSize }, 1);
    if (samples.length < batchSize) {
      const few = `a batch of ${batchSize} needs more than the ${samples.length} available samples`;
      throw new ClipError("CLIP_DATA", `${few}; lower batchSize to at most ${samples.length}, or add data`);
    }
    this.#samples = samples;
    this.#options = { ...options, mixture };
    const draws = mixture.reduce((sum, { count, weight }) => sum + drawnTimes(count, weight), 0);
    this.stepsPerEpoch = Math.floor(draws / batchSize);
    if (this.stepsPerEpoch === 0) {
      const few = `with these weights an epoch has only ${draws} samples, and a batch ${batchSize}`;
      throw new ClipError("CLIP_DATA", `${few}; raise the weights, lower batchSize or add data`);
    }
    this.#captionList = firstAlike(samples, ({ captions }) => JSON.stringify(captions));
    this.#syntheticCaption = firstAlike(samples, ({ synthetic = "" }) => synthetic);
  }

  /**
   * The indices of a step's samples, [N]; steps count from 0 over all epochs. No sample twice, unless weights above 1 leave nothing
   * else at the end of an epoch.
   */
  drawSamples(step: number): Uint32Array {
    const { order, start } = this.#place(step);
    return order.slice(start, start + this.#options.batchSize);
  }

  /** Replacements for broken samples of a step: all samples outside it, in the order of the draws after it. */
  *replacements(step: number): Generator<number> {
    const { order, start } = this.#place(step);
    const seen = new Set(order.subarray(start, start + this.#options.batchSize));
    for (let i = this.#options.batchSize; i < order.length; i++) {
      const sample = order[(start + i) % order.length]!;
      if (!seen.has(sample)) yield sample;
      seen.add(sample);
    }
  }

  /**
   * One of the sample's captions. Samples with equal lists of captions get the same one within a step: otherwise their captions
   * would be negatives for each other's images.
   */
  drawCaption(step: number, sample: number): string {
    const { captions } = this.#samples[sample]!;
    if (captions.length === 1) return captions[0]!;
    const random = new Random(this.#options.seed, purposes.caption, step, this.#captionList[sample]!);
    return captions[random.integer(captions.length)]!;
  }

  /**
   * A sample's synthetic caption and one of its sentences, drawn uniformly; without a synthetic caption both are its caption. Samples
   * with equal synthetic captions get the same sentence within a step.
   */
  drawSynthetic(step: number, sample: number): SyntheticDraw {
    const { synthetic = "" } = this.#samples[sample]!;
    const sentences = subCaptions(synthetic);
    if (sentences.length === 0) {
      const caption = this.drawCaption(step, sample);
      return { sentence: caption, whole: caption };
    }
    const random = new Random(this.#options.seed, purposes.sentence, step, this.#syntheticCaption[sample]!);
    return { sentence: sentences[random.integer(sentences.length)]!, whole: synthetic };
  }

  /** The key of {@link Random} for a sample's augmentation in a step. */
  augmentationKey(step: number, sample: number): readonly number[] {
    // A sample that an epoch draws several times is augmented differently each time.
    const round = this.#hasCopies ? step : Math.floor(step / this.stepsPerEpoch);
    return [this.#options.seed, purposes.augmentation, round, sample];
  }

  #place(step: number): { readonly order: Uint32Array; readonly start: number } {
    const epoch = Math.floor(step / this.stepsPerEpoch);
    if (this.#order?.epoch !== epoch) {
      this.#order = { epoch, samples: this.#drawOrder(new Random(this.#options.seed, purposes.order, epoch)) };
    }
    return { order: this.#order.samples, start: (step % this.stepsPerEpoch) * this.#options.batchSize };
  }

  get #hasCopies(): boolean {
    return this.#options.mixture.some(({ weight }) => weight > 1);
  }

  /** All draws of an epoch, in order. */
  #drawOrder(random: Random): Uint32Array {
    const draws = this.#drawMixture(random);
    const buffer = this.#options.shuffleBuffer;
    const order =
      buffer === undefined
        ? random.permutation(draws.length).map((at) => draws[at]!)
        : shuffleThrough(buffer, this.#byShard(draws, random), random);
    if (this.#hasCopies) separateCopies(order, this.#options.batchSize);
    return order;
  }

  /** The samples of an epoch, ascending, each as often as it is drawn. */
  #drawMixture(random: Random): number[] {
    let first = 0;
    return this.#options.mixture.flatMap(({ count, weight }) => {
      const times = new Uint32Array(count).fill(Math.floor(weight));
      const extra = drawnTimes(count, weight) - count * Math.floor(weight);
      if (extra > 0) for (const at of random.permutation(count).subarray(0, extra)) times[at]!++;
      const draws: number[] = [];
      times.forEach((n, at) => {
        for (let i = 0; i < n; i++) draws.push(first + at);
      });
      first += count;
      return draws;
    });
  }

  /** The same draws with the shards in random order; an image in its own file counts as a shard. */
  #byShard(draws: readonly number[], random: Random): Uint32Array {
    const starts = draws.flatMap((sample, at) => {
      const shard = this.#samples[sample]!.bytes?.file;
      const before = at === 0 ? undefined : this.#samples[draws[at - 1]!]!.bytes?.file;
      return shard === undefined || shard !== before ? [at] : [];
    });
    const order = new Uint32Array(draws.length);
    let filled = 0;
    for (const i of random.permutation(starts.length)) {
      const end = starts[i + 1] ?? draws.length;
      for (let at = starts[i]!; at < end; at++) order[filled++] = draws[at]!;
    }
    return order;
  }
}

/** For each sample the index of the first one with the same key. */
function firstAlike(samples: readonly Sample[], keyOf: (sample: Sample) => string): Uint32Array {
  const firsts = new Map<string, number>();
  return Uint32Array.from(samples, (sample, index) => {
    const key = keyOf(sample);
    if (!firsts.has(key)) firsts.set(key, index);
    return firsts.get(key)!;
  });
}

/** Draws of a source in an epoch. */
const drawnTimes = (count: number, weight: number) => Math.round(count * weight);

/** Shuffles within a buffer that is filled in order and emptied at random. */
function shuffleThrough(size: number, order: Uint32Array, random: Random): Uint32Array {
  const buffer = order.slice(0, size);
  const shuffled = new Uint32Array(order.length);
  for (let at = buffer.length; at < order.length; at++) {
    const place = random.integer(buffer.length);
    shuffled[at - buffer.length] = buffer[place]!;
    buffer[place] = order[at]!;
  }
  const rest = random.permutation(buffer.length).map((place) => buffer[place]!);
  shuffled.set(rest, order.length - buffer.length);
  return shuffled;
}

/** Moves each copy of a sample out of a batch that already has it, to the next batch without it. */
function separateCopies(order: Uint32Array, batchSize: number): void {
  for (let start = 0; start + batchSize <= order.length; start += batchSize) {
    const inBatch = new Set<number>();
    for (let at = start; at < start + batchSize; at++) {
      if (inBatch.has(order[at]!)) {
        let other = start + batchSize;
        while (other < order.length && inBatch.has(order[other]!)) other++;
        if (other < order.length) [order[at], order[other]] = [order[other]!, order[at]!];
      }
      inBatch.add(order[at]!);
    }
  }
}

/** @throws {ClipError} `CLIP_CONFIG` if an option is no whole number of at least `least`. */
export function assertWhole(options: Readonly<Record<string, number>>, least: number): void {
  for (const [name, value] of Object.entries(options)) {
    if (Number.isSafeInteger(value) && value >= least) continue;
    throw new ClipError("CLIP_CONFIG", `${name} is ${value}; it must be a whole number of at least ${least}`);
  }
}
