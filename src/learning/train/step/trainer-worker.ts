import { alone, type Group } from "../../../engine/distributed/group.ts";
import { joinGroup } from "../../../engine/distributed/open-mpi.ts";
import { normalizePixels } from "../../../inputs/image/normalize.ts";
import { type PreprocessConfig } from "../../../inputs/image/preprocess-config.ts";
import { discard } from "../../../engine/threads/discard.ts";
import { Moved, serve } from "../../../engine/threads/serve.ts";
import { type TrainerOptions, type StepResult, Trainer } from "./trainer.ts";
import type { TrainerState } from "./trainer-state.ts";
import type { PairTensors, PixelValues } from "../batches/pair-tensors.ts";

let trainer: Trainer;
let group: Group = alone;
let preprocess: PixelConstants;

type PixelConstants = Pick<PreprocessConfig, "imageSize" | "mean" | "std">;

/** N pairs as they travel to this thread: images as 8-bit RGB [N, S, S, 3]. */
export type PairPixels = Omit<PairTensors, "pixelValues"> & { readonly pixels: Uint8Array };

/** Images that are standardised when they are asked for: of a large batch never all are at once. */
class StandardisedPixels implements PixelValues {
  readonly #pixels: Uint8Array;
  readonly #constants: PixelConstants;

  constructor(pixels: Uint8Array, constants: PixelConstants) {
    [this.#pixels, this.#constants] = [pixels, constants];
  }

  slice(start: number, end: number): Float32Array {
    const length = 3 * this.#constants.imageSize ** 2;
    const values = new Float32Array(end - start);
    for (let from = start; from < end; from += length)
      values.set(normalizePixels(this.#pixels.subarray(from, from + length), this.#constants), from - start);
    return values;
  }
}

const methods = {
  async join(): Promise<Pick<Group, "rank" | "size">> {
    group = await joinGroup();
    const { rank, size } = group;
    return { rank, size };
  },
  exchange: (text: string): string[] => group.exchange(text),
  abort: (message: string): void => group.abort(message),
  leave: (): void => group.leave(),
  /** @param constants - by which images are standardised. */
  async create(
    options: TrainerOptions,
    parameters: Map<string, Float32Array>,
    constants: PixelConstants,
  ): Promise<void> {
    preprocess = constants;
    trainer = await Trainer.create(options, parameters, group);
  },
  startAsFirst: (steps: number): Promise<void> => trainer.startAsFirst(steps),
  checksum: (): string => trainer.checksum(),
  async step({ pixels, ...batch }: PairPixels, learningRate: number): Promise<StepResult> {
    const pixelValues = new StandardisedPixels(pixels, preprocess);
    const told = await trainer.step({ ...batch, pixelValues }, learningRate);
    discard([pixels]);
    return told;
  },
  async encodeImages(pixelValues: Float32Array): Promise<Moved<Float32Array>> {
    const features = await trainer.encodeImages(pixelValues);
    return new Moved(features, [features]);
  },
  async encodeTexts(inputIds: Int32Array, endOfText: Int32Array): Promise<Moved<Float32Array>> {
    const features = await trainer.encodeTexts(inputIds, endOfText);
    return new Moved(features, [features]);
  },
  layout: (): Pick<TrainerState, "steps" | "lengths"> => ({ steps: trainer.steps, lengths: trainer.lengths }),
  async read(name: string): Promise<Moved<Float32Array>> {
    const values = await trainer.read(name);
    return new Moved(values, [values]);
  },
  async write(name: string, values: Float32Array): Promise<void> {
    await trainer.write(name, values);
    discard([values]);
  },
  goOnFrom: (steps: number): void => trainer.resumeAt(steps),
};

/** The calls that the training thread answers. */
export type TrainerMethods = typeof methods;

serve(methods);
