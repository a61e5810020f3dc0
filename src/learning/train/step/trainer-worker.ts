import { alone, type Group } from "../../../engine/distributed/group.ts";
import { joinGroup } from "../../../engine/distributed/open-mpi.ts";
import { discard } from "../../../engine/threads/discard.ts";
import { Moved, serve } from "../../../engine/threads/serve.ts";
import { normalizePixels } from "../../../inputs/image/normalize.ts";
import { type PreprocessConfig } from "../../../inputs/image/preprocess-config.ts";
import type { PairPixels, PixelValues } from "../batches/pair-tensors.ts";
import { type StepResult, Trainer, type TrainerOptions } from "./trainer.ts";
import type { SavedState } from "./trainer-state.ts";

type Standardization = Pick<PreprocessConfig, "imageSize" | "mean" | "std">;

let trainer: Trainer;
let group: Group = alone;
let standardization: Standardization;

/** Pixel values of 8-bit RGB [N, S, S, 3], standardized in parts: those of a large batch would not fit in memory. */
function standardized(pixels: Uint8Array): PixelValues {
  const imageLength = 3 * standardization.imageSize ** 2;
  return {
    slice(start, end) {
      const values = new Float32Array(end - start);
      for (let from = start; from < end; from += imageLength)
        values.set(normalizePixels(pixels.subarray(from, from + imageLength), standardization), from - start);
      return values;
    },
  };
}

const moved = (values: Float32Array) => new Moved(values, [values]);

const methods = {
  async join(): Promise<Pick<Group, "rank" | "size">> {
    group = await joinGroup();
    const { rank, size } = group;
    return { rank, size };
  },
  exchange: (text: string): string[] => group.exchange(text),
  abort: (message: string): void => group.abort(message),
  leave: (): void => group.leave(),
  async create(
    options: TrainerOptions,
    parameters: Map<string, Float32Array>,
    preprocess: Standardization,
  ): Promise<void> {
    standardization = preprocess;
    trainer = await Trainer.create(options, parameters, group);
  },
  copyFromFirst: (steps: number): Promise<void> => trainer.state.copyFromFirst(group, steps),
  checksum: (): string => trainer.state.checksum(),
  async step({ pixels, ...pairs }: PairPixels, learningRate: number): Promise<StepResult> {
    const result = await trainer.step({ ...pairs, pixelValues: standardized(pixels) }, learningRate);
    discard([pixels]);
    return result;
  },
  encodeImages: async (pixelValues: Float32Array): Promise<Moved<Float32Array>> =>
    moved(await trainer.encodeImages(pixelValues)),
  encodeTexts: async (inputIds: Int32Array, endOfText: Int32Array): Promise<Moved<Float32Array>> =>
    moved(await trainer.encodeTexts(inputIds, endOfText)),
  layout: (): Pick<SavedState, "steps" | "lengths"> => ({ steps: trainer.state.steps, lengths: trainer.state.lengths }),
  read: async (name: string): Promise<Moved<Float32Array>> => moved(await trainer.state.read(name)),
  async write(name: string, values: Float32Array): Promise<void> {
    await trainer.state.write(name, values);
    discard([values]);
  },
  resumeAt: (steps: number): void => trainer.state.resumeAt(steps),
};

/** The calls that the training thread answers. */
export type TrainerMethods = typeof methods;

serve(methods);
