import { saveModel, type ModelToSave } from "../src/model/pretrained/save-model.ts";
import { clipPreprocess } from "../src/inputs/image/preprocess-config.ts";
import { type ClipConfig } from "../src/model/towers/config.ts";
import { initializeParameters } from "../src/model/nn/parameters.ts";
import { clipParameters } from "../src/model/towers/parameters.ts";
import { ClipTokenizer } from "../src/inputs/text/tokenizer.ts";
import { trainBpe } from "../src/inputs/text/train-bpe.ts";

/** What the tiny model's vocabulary is made of. */
export const tinyCaptions = ["a picture of a red apple", "a picture of a green tree", "the blue sea and the sun"];

const tokenizer = new ClipTokenizer(trainBpe(tinyCaptions, 560));

/** An architecture small enough to run in milliseconds. */
export const tinyConfig: ClipConfig = {
  embedDim: 16,
  activation: "quickGelu",
  vision: { kind: "vit", imageSize: 32, patchSize: 16, width: 32, layers: 1, heads: 2 },
  text: { contextLength: 24, vocabSize: tokenizer.vocabSize, width: 32, layers: 1, heads: 2 },
};

/** A model with random weights, as it is saved. */
export function tinyModel<Change extends Partial<ModelToSave>>(change: Change = {} as Change) {
  return {
    config: tinyConfig,
    preprocess: clipPreprocess,
    tokenizer,
    parameters: initializeParameters(clipParameters(change.config ?? tinyConfig), 1),
    ...change,
  };
}

/** Saves a model with random weights to a folder; returns the folder. */
export async function saveTinyModel(folder: string, change: Partial<ModelToSave> = {}): Promise<string> {
  await saveModel(folder, tinyModel(change));
  return folder;
}
