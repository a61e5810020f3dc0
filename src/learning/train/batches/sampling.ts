import { ClipError } from "../../../core/errors.ts";
import { Random } from "../../../core/random.ts";
import { subCaptions, type SyntheticDraw } from "./synthetic-captions.ts";
import type { Sample } from "../../../inputs/data/sources/samples.ts";

/** Keeps the streams of random numbers apart that the same seed is used for. */
export const purposes = { order: 1, caption: 2, augmentation: 3, patches: 4, sentence: 5, heldOut: 6 } as const;

export interface SamplerOptions {
  /** Samples per batch, N. */
  readonly batchSize: number;
  readonly seed: number;
  /**
   * How many samples each source has, and how often each of them is drawn in an epoch: a part of a weight is the chance of
   * one more time. Default: each once.
   */
  readonly mixture?: readonly { readonly count: number; readonly weight: number }[] | undefined;
  /**
   * Draws shard after shard, each epoch in a new order, from a buffer of so many samples. Default: any sample may be drawn
   * next.
   */
  readonly shuffleBuffer?: number | undefined;
}

/**
 * Decides what every step of a training run sees, as a function of the seed and the step alone: a run that goes on at
 * step n sees what an unbroken one would have.
 *
 * Each epoch draws the samples in a new order, each once or by the weight of its source; what is left at its end and fills no
 * batch is not seen in it.
 */
export class Sampler {
  /** Steps until every sample was drawn, as often as it is in an epoch. */
  readonly stepsPerEpoch: number;
  readonly #samples: readonly Sample[];
  readonly #batchSize: number;
  readonly #seed: number;
  readonly #mixture: readonly { readonly count: number; readonly weight: number }[];
  readonly #shuffleBuffer: number | undefined;
  /** For each sample the first one with the same captions: what its caption is drawn by. */
  readonly #captionList: Uint32Array;
  /** For each sample the first one with the same synthetic caption. */
  readonly #syntheticCaption: Uint32Array;
  #order: { readonly epoch: number; readonly samples: Uint32Array } | undefined;

  /** @throws {ClipError} `CLIP_DATA` if there are fewer samples than one batch takes. */
  constructor(samples: readonly Sample[], options: SamplerOptions) {
    const { batchSize, seed, mixture = [{ count: samples.length, weight: 1 }], shuffleBuffer } = options;
    if (!Number.isSafeInteger(batchSize) || batchSize < 1) {
      throw new ClipError("CLIP_CONFIG", `batchSize is ${batchSize}; it must be a whole number of at least 1`);
    }
    if (samples.length < batchSize) {
      const wayOut = `lower batchSize to at most ${samples.length}, or add data`;
      throw new ClipError(
        "CLIP_DATA",
        `a batch of ${batchSize} needs more than the ${samples.length} samples there are; ${wayOut}`,
      );
    }
    [this.#samples, this.#batchSize, this.#seed] = [samples, batchSize, seed];
    [this.#mixture, this.#shuffleBuffer] = [mixture, shuffleBuffer];
    const draws = mixture.reduce((sum, { count, weight }) => sum + drawnTimes(count, weight), 0);
    this.stepsPerEpoch = Math.floor(draws / batchSize);
    if (this.stepsPerEpoch === 0) {
      const wayOut = "raise the weights, lower batchSize or add data";
      throw new ClipError(
        "CLIP_DATA",
        `by their weights only ${draws} samples make an epoch, and a batch has ${batchSize}; ${wayOut}`,
      );
    }
    this.#captionList = firstAlike(samples, ({ captions }) => JSON.stringify(captions));
    this.#syntheticCaption = firstAlike(samples, ({ synthetic = "" }) => synthetic);
  }

  /**
   * [N] the indices of a step's samples; steps are counted from 0 over all epochs. Each once, unless the weights leave nothing
   * else for the end of an epoch.
   */
  drawSamples(step: number): Uint32Array {
    const { order, start } = this.#place(step);
    return order.slice(start, start + this.#batchSize);
  }

  /** What may stand in for a sample that cannot be read: all that the step does not see, those drawn next first. */
  *replacements(step: number): Generator<number> {
    const { order, start } = this.#place(step);
    const met = new Set(order.subarray(start, start + this.#batchSize));
    for (let i = this.#batchSize; i < order.length; i++) {
      const sample = order[(start + i) % order.length]!;
      if (!met.has(sample)) yield sample;
      met.add(sample);
    }
  }

  /**
   * One of the sample's captions. Samples with the same list of captions get the same one within a step: their captions
   * would otherwise count as wrong answers for each other's images.
   */
  drawCaption(step: number, sample: number): string {
    const { captions } = this.#samples[sample]!;
    if (captions.length === 1) return captions[0]!;
    return captions[
      new Random(this.#seed, purposes.caption, step, this.#captionList[sample]!).integer(captions.length)
    ]!;
  }

  /**
   * A sample's synthetic caption and one of its sentences, each as likely; where it has none, both are its caption. As with captions,
   * samples with the same one get the same sentence within a step.
   */
  drawSynthetic(step: number, sample: number): SyntheticDraw {
    const { synthetic = "" } = this.#samples[sample]!;
    const sentences = subCaptions(synthetic);
    if (sentences.length === 0) {
      const caption = this.drawCaption(step, sample);
      return { sentence: caption, whole: caption };
    }
    const random = new Random(this.#seed, purposes.sentence, step, this.#syntheticCaption[sample]!);
    return { sentence: sentences[random.integer(sentences.length)]!, whole: synthetic };
  }

  /** The key of {@link Random} by which a sample is augmented in a step. */
  augmentationKey(step: number, sample: number): readonly number[] {
    // A sample that is drawn several times in an epoch is augmented anew each time.
    const turn = this.#hasCopies ? step : Math.floor(step / this.stepsPerEpoch);
    return [this.#seed, purposes.augmentation, turn, sample];
  }

  #place(step: number): { readonly epoch: number; readonly order: Uint32Array; readonly start: number } {
    const epoch = Math.floor(step / this.stepsPerEpoch);
    if (this.#order?.epoch !== epoch) {
      this.#order = { epoch, samples: this.#drawOrder(new Random(this.#seed, purposes.order, epoch)) };
    }
    return { epoch, order: this.#order.samples, start: (step % this.stepsPerEpoch) * this.#batchSize };
  }

  get #hasCopies(): boolean {
    return this.#mixture.some(({ weight }) => weight > 1);
  }

  /** All that an epoch draws, in its order. */
  #drawOrder(random: Random): Uint32Array {
    const draws = this.#drawMixture(random);
    const buffer = this.#shuffleBuffer;
    const order =
      buffer === undefined
        ? random.permutation(draws.length).map((at) => draws[at]!)
        : shuffleThrough(buffer, this.#byShard(draws, random), random);
    if (this.#hasCopies) partCopies(order, this.#batchSize);
    return order;
  }

  /** How often each sample is drawn, as so many times its index, ascending. */
  #drawMixture(random: Random): number[] {
    let first = 0;
    return this.#mixture.flatMap(({ count, weight }) => {
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

  /** The same draws with the shards in random order; an image that is a file of its own counts as a shard. */
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

/** For each sample the first one for which `keyOf` gives the same. */
function firstAlike(samples: readonly Sample[], keyOf: (sample: Sample) => string): Uint32Array {
  const firsts = new Map<string, number>();
  return Uint32Array.from(samples, (sample, index) => {
    const key = keyOf(sample);
    if (!firsts.has(key)) firsts.set(key, index);
    return firsts.get(key)!;
  });
}

/** How often the samples of a source are drawn in an epoch, all together. */
function drawnTimes(count: number, weight: number): number {
  return Math.round(count * weight);
}

/** What comes out of a buffer of so many places that is filled up in order and emptied at random. */
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

/** Moves each copy of a sample out of the batch that has it already, to the next that has not. */
function partCopies(order: Uint32Array, batchSize: number): void {
  for (let start = 0; start + batchSize <= order.length; start += batchSize) {
    const met = new Set<number>();
    for (let at = start; at < start + batchSize; at++) {
      if (met.has(order[at]!)) {
        let other = start + batchSize;
        while (other < order.length && met.has(order[other]!)) other++;
        if (other < order.length) [order[at], order[other]] = [order[other]!, order[at]!];
      }
      met.add(order[at]!);
    }
  }
}
