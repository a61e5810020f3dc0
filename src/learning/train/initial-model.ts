import { readParameters } from "../../model/checkpoints/load.ts";
import { ClipError } from "../../core/errors.ts";
import type { TensorData } from "../../core/tensor-data.ts";
import { captionWords } from "../../model/pretrained/caption-words.ts";
import { isLora } from "../../model/pretrained/lora.ts";
import { readModel, readTokenizer } from "../../model/pretrained/model-folder.ts";
import { clipPreprocess, type PreprocessConfig } from "../../inputs/image/preprocess-config.ts";
import { type ClipConfig } from "../../model/towers/config.ts";
import { initializeParameters } from "../../model/nn/parameters.ts";
import { clipParameters } from "../../model/towers/parameters.ts";
import { isDecoderPath } from "../../model/towers/caption-decoder.ts";
import { ClipTokenizer, type TextTokenizer } from "../../inputs/text/tokenizer.ts";
import { trainBpe } from "../../inputs/text/train-bpe.ts";
import { decoderOf } from "./batches/synthetic-captions.ts";
import type { Sample } from "../../inputs/data/sources/samples.ts";
import { checkTrainable, configuredArchitecture, type TrainConfig, trainedArchitecture } from "./config.ts";

/** The model of a run before its first step. */
export interface Start {
  /** Including LoRA and decoder, which the finished model lacks. */
  readonly architecture: ClipConfig;
  readonly preprocess: PreprocessConfig;
  readonly tokenizer: TextTokenizer;
  /** Initial values by path. */
  readonly parameters: ReadonlyMap<string, TensorData<"float32">>;
  /** The words of the training captions, saved with the model; undefined if those of `init` are unknown. */
  readonly words: readonly string[] | undefined;
}

/**
 * Creates a new model, or reads the run's `init`.
 *
 * @param samples - a vocabulary is trained on their captions if the run asks for one.
 * @throws {ClipError} `CLIP_CONFIG` if the configuration does not fit the model; as `readModel` and `readTokenizer`.
 */
export async function startModel(run: TrainConfig, samples: readonly Sample[]): Promise<Start> {
  const captions = samples.flatMap(({ captions, synthetic = [] }) => captions.concat(synthetic));
  return run.init === undefined ? newModel(run, captions) : givenModel(run.init, run, captions);
}

async function newModel(run: TrainConfig, captions: readonly string[]): Promise<Start> {
  const trained = () => new ClipTokenizer(trainBpe(captions, configuredArchitecture(run).text.vocabSize));
  const tokenizer = run.tokenizer === "captions" ? trained() : await ClipTokenizer.published();
  const architecture = trainedArchitecture(run, tokenizer.vocabSize);
  return {
    architecture,
    preprocess: { ...(run.preprocess ?? clipPreprocess), imageSize: architecture.vision.imageSize },
    tokenizer,
    parameters: initializeParameters(clipParameters(architecture), run.seed),
    words: captionWords(captions),
  };
}

async function givenModel(path: string, run: TrainConfig, captions: readonly string[]): Promise<Start> {
  const model = await readModel(path, { imageSize: run.imageSize });
  const architecture = { ...withLora(model.config, run), decoder: decoderOf(run.objective) };
  checkTrainable(run, architecture);
  const tokenizer = await readTokenizer(model);
  if (architecture.decoder && tokenizer.source.kind === "json")
    throw new ClipError(
      "CLIP_CONFIG",
      `the vocabulary of ${path} has no start token, which the caption decoder needs; leave out objective, ` +
        "set its decoderWeight to 0, or use a model with a CLIP tokenizer",
    );
  return {
    architecture,
    preprocess: model.preprocess,
    tokenizer,
    parameters: new Map([
      ...(await readParameters(model.parameters)),
      ...initializeParameters(clipParameters(architecture), run.seed, (path) => isLora(path) || isDecoderPath(path)),
    ]),
    words: model.words && [...new Set([...model.words, ...captionWords(captions)])].sort(),
  };
}

/** The architecture with LoRA in the blocks of the towers that are not frozen. */
function withLora(config: ClipConfig, { lora, lockImage, lockText }: TrainConfig): ClipConfig {
  const { vision, text } = config;
  return {
    ...config,
    vision: vision.kind === "vit" && !lockImage ? { ...vision, lora } : vision,
    text: lockText ? text : { ...text, lora },
  };
}
