import { ClipError } from "../core/errors.ts";
import { Random } from "../core/random.ts";
import type { Sample } from "./pairs.ts";

/** Keeps the streams of random numbers apart that the same seed is used for. */
export const purposes = { order: 1, caption: 2, augmentation: 3, patches: 4 } as const;

export interface SamplerOptions {
  /** Samples per batch, N. */
  readonly batchSize: number;
  readonly seed: number;
}

/**
 * Decides what every step of a training run sees, as a function of the seed and the step alone: a run that goes on at
 * step n sees what an unbroken one would have.
 *
 * Each epoch draws the samples in a new order, each once; what is left at its end and fills no batch is not seen in it.
 */
export class Sampler {
  /** Steps until every sample was drawn. */
  readonly stepsPerEpoch: number;
  readonly #samples: readonly Sample[];
  readonly #batchSize: number;
  readonly #seed: number;
  /** For each sample the first one with the same captions: what its caption is drawn by. */
  readonly #captionList: Uint32Array;
  #order: { readonly epoch: number; readonly samples: Uint32Array } | undefined;

  /** @throws {ClipError} `CLIP_DATA` if there are fewer samples than one batch takes. */
  constructor(samples: readonly Sample[], { batchSize, seed }: SamplerOptions) {
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
    this.stepsPerEpoch = Math.floor(samples.length / batchSize);
    const firstWith = new Map<string, number>();
    this.#captionList = Uint32Array.from(samples, ({ captions }, index) => {
      const list = JSON.stringify(captions);
      if (!firstWith.has(list)) firstWith.set(list, index);
      return firstWith.get(list)!;
    });
  }

  /** [N] the indices of a step's samples, each once; steps are counted from 0 over all epochs. */
  drawSamples(step: number): Uint32Array {
    const { order, start } = this.#place(step);
    return order.slice(start, start + this.#batchSize);
  }

  /** What may stand in for a sample that cannot be read: all that the step does not see, those drawn next first. */
  *replacements(step: number): Generator<number> {
    const { order, start } = this.#place(step);
    for (let i = this.#batchSize; i < order.length; i++) yield order[(start + i) % order.length]!;
  }

  /**
   * One of the sample's captions. Samples with the same list of captions get the same one within a step: their captions
   * would otherwise count as wrong answers for each other's pictures.
   */
  drawCaption(step: number, sample: number): string {
    const { captions } = this.#samples[sample]!;
    if (captions.length === 1) return captions[0]!;
    return captions[
      new Random(this.#seed, purposes.caption, step, this.#captionList[sample]!).integer(captions.length)
    ]!;
  }

  /** The key of {@link Random} by which a sample is augmented in a step. */
  augmentationKey(step: number, sample: number): readonly number[] {
    return [this.#seed, purposes.augmentation, Math.floor(step / this.stepsPerEpoch), sample];
  }

  #place(step: number): { readonly epoch: number; readonly order: Uint32Array; readonly start: number } {
    const epoch = Math.floor(step / this.stepsPerEpoch);
    if (this.#order?.epoch !== epoch) {
      const samples = new Random(this.#seed, purposes.order, epoch).permutation(this.#samples.length);
      this.#order = { epoch, samples };
    }
    return { epoch, order: this.#order.samples, start: (step % this.stepsPerEpoch) * this.#batchSize };
  }
}
