import { type ClipConfig } from "../src/model/towers/config.ts";
import { initializeParameters } from "../src/model/nn/parameters.ts";
import { clipParameters } from "../src/model/towers/parameters.ts";
import { type TrainerOptions, Trainer } from "../src/learning/train/step/trainer.ts";
import type { PairTensors } from "../src/learning/train/batches/pair-tensors.ts";
import { trainEverything } from "../src/learning/train/step/trained-parameters.ts";

/** A model of random weights that is trained by one batch of waves and numbers, whatever comes of it. */
export class RandomTraining implements AsyncDisposable {
  readonly #trainer: Trainer;
  readonly #batch: PairTensors & { readonly pixelValues: Float32Array };

  private constructor(trainer: Trainer, { vision, text }: ClipConfig, batchSize: number) {
    this.#trainer = trainer;
    const { contextLength, vocabSize } = text;
    this.#batch = {
      pixelValues: Float32Array.from({ length: batchSize * 3 * vision.imageSize ** 2 }, (_, i) => Math.sin(i)),
      inputIds: Int32Array.from({ length: batchSize * contextLength }, (_, i) => (i * 7919) % (vocabSize - 400)),
      endOfText: new Int32Array(batchSize).fill(contextLength - 1),
      captionGroup: Int32Array.from({ length: batchSize }, (_, i) => i),
    };
  }

  static async create(
    config: ClipConfig,
    batchSize: number,
    change: Partial<Pick<TrainerOptions, "checkpointBlocks" | "lockImage">> = {},
  ): Promise<RandomTraining> {
    const parameters = new Map(
      Array.from(initializeParameters(clipParameters(config), 1), ([path, { data }]) => [path, data]),
    );
    const options: TrainerOptions = {
      ...{ config, batchSize, chunkSize: batchSize, gradClipNorm: 1, emaDecay: undefined },
      ...{ checkpointBlocks: false, beta1: 0.9, beta2: 0.98, epsilon: 1e-6, weightDecay: 0.2 },
      ...{ labelSmoothing: 0, patchDropout: 0, seed: 0, ...trainEverything, ...change },
    };
    return new RandomTraining(await Trainer.create(options, parameters), config, batchSize);
  }

  /** Both towers, loss, backward, clipping, AdamW. */
  async step(): Promise<void> {
    await this.#trainer.step(this.#batch, 5e-4);
  }

  /** The features of the batch, without gradients. */
  async encode(): Promise<void> {
    await this.#trainer.encodeImages(this.#batch.pixelValues);
    await this.#trainer.encodeTexts(this.#batch.inputIds, this.#batch.endOfText);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#trainer[Symbol.asyncDispose]();
  }
}

export async function secondsOf(act: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await act();
  return (performance.now() - start) / 1000;
}
