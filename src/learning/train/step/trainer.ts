import { float32 } from "../../../core/tensor-data.ts";
import { alone, type Group } from "../../../engine/distributed/group.ts";
import type { NamedTensors } from "../../../engine/runtime/ort-session.ts";
import { type PairTensors, textFeeds } from "../batches/pair-tensors.ts";
import { type BatchLosses, type GradientOptions, wholeBatchGradients } from "./batch-gradients.ts";
import { chunkedGradients } from "./chunked-gradients.ts";
import { imageEmbedsProgram, type Program, textEmbedsProgram } from "./programs.ts";
import { Sessions } from "./sessions.ts";
import { type StateOptions, TrainerState } from "./trainer-state.ts";
import { update, type StepUpdateOptions } from "./update.ts";

export interface TrainerOptions extends StateOptions, GradientOptions, StepUpdateOptions {}

export interface StepResult extends BatchLosses {
  /** Of all gradients together, before clipping. */
  readonly gradientNorm: number;
  /** After the update. */
  readonly logitScale: number;
  /** Time spent communicating with the other processes or waiting for them. */
  readonly communicationSeconds: number;
}

/**
 * A model with its optimizer and the compiled programs of a step; blocks the thread it runs on. The processes of a group make
 * each step together: each has its share of the pairs, by rank, and all arrive at the same parameters.
 */
export class Trainer implements AsyncDisposable {
  readonly state: TrainerState;
  readonly #options: TrainerOptions;
  readonly #group: Group;
  readonly #sessions: Sessions;

  private constructor(options: TrainerOptions, state: TrainerState, group: Group) {
    this.state = state;
    this.#options = options;
    this.#group = group;
    this.#sessions = new Sessions(state.shapes);
  }

  /** @param parameters - initial values by path; the trainer takes ownership. */
  static async create(
    options: TrainerOptions,
    parameters: Map<string, Float32Array>,
    group: Group = alone,
  ): Promise<Trainer> {
    return new Trainer(options, await TrainerState.create(options, parameters), group);
  }

  /** One update by a batch. If the loss or the norm is not finite, nothing is updated and the caller has to stop. */
  async step(batch: PairTensors, learningRate: number): Promise<StepResult> {
    const secondsBefore = this.#group.seconds;
    const { squaredNorm, gradients, statistics, ...losses } = await this.#gradients(batch);
    const communicationSeconds = this.#group.seconds - secondsBefore;
    const gradientNorm = Math.sqrt(squaredNorm);
    if (Number.isFinite(losses.loss) && Number.isFinite(gradientNorm))
      await update(this.state, { learningRate, gradients, gradientNorm, statistics }, this.#options);
    const [logitScale] = this.state.parameters.get("logitScale")!;
    return { ...losses, gradientNorm, communicationSeconds, logitScale: logitScale! };
  }

  /** Image embeds [n, E] of standardized pixels [n, 3, S, S], by the averaged weights if there are any. */
  async encodeImages(pixels: Float32Array): Promise<Float32Array> {
    const { config } = this.#options;
    const { imageSize } = config.vision;
    const pixelValues = float32(pixels, [pixels.length / (3 * imageSize ** 2), 3, imageSize, imageSize]);
    return this.#encode("imageEmbeds", () => imageEmbedsProgram(config), { pixelValues });
  }

  /** Text embeds [n, E], by the averaged weights if there are any. */
  async encodeTexts(inputIds: Int32Array, endOfText: Int32Array): Promise<Float32Array> {
    const { config } = this.#options;
    return this.#encode("textEmbeds", () => textEmbedsProgram(config), textFeeds({ inputIds, endOfText }, config));
  }

  async #encode(name: string, program: () => Program, feeds: NamedTensors): Promise<Float32Array> {
    const weights = this.state.average ?? this.state.parameters;
    return (await this.#sessions.run(name, program, feeds, weights))[name]!.data as Float32Array;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.state[Symbol.asyncDispose]();
    await this.#sessions[Symbol.asyncDispose]();
  }

  #gradients(batch: PairTensors) {
    const { batchSize, chunkSize } = this.#options;
    const context = { options: this.#options, state: this.state, sessions: this.#sessions, group: this.#group };
    return chunkSize < batchSize ? chunkedGradients(context, batch) : wholeBatchGradients(context, batch);
  }
}
