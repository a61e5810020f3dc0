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

/** What a run trains, before its first step. */
export interface Start {
  /** With what is there in training alone: changes of low rank, a decoder. */
  readonly architecture: ClipConfig;
  readonly preprocess: PreprocessConfig;
  readonly tokenizer: TextTokenizer;
  /** First values by path. */
  readonly parameters: ReadonlyMap<string, TensorData<"float32">>;
  /** What the finished model will have been trained on, if it is to say so. */
  readonly words: readonly string[] | undefined;
}

/**
 * A new model, or the one that the run is to go on from.
 *
 * @param samples - of whose captions a vocabulary may be made.
 * @throws {ClipError} `CLIP_CONFIG` if what the run asks for does not fit the model; as `readModel` and `readTokenizer` do.
 */
export async function startModel(run: TrainConfig, samples: readonly Sample[]): Promise<Start> {
  const captions = samples.flatMap(({ captions, synthetic = [] }) => captions.concat(synthetic));
  return run.init === undefined ? newModel(run, captions) : givenModel(run.init, run, captions);
}

async function newModel(run: TrainConfig, captions: readonly string[]): Promise<Start> {
  const ofCaptions = () => new ClipTokenizer(trainBpe(captions, configuredArchitecture(run).text.vocabSize));
  const tokenizer = run.tokenizer === "captions" ? ofCaptions() : await ClipTokenizer.published();
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
      `the vocabulary of ${path} has no mark that a text begins with, as a decoder of captions needs it; leave out ` +
        "objective, set its decoderWeight to 0, or name a model with CLIP's vocabulary or merges of its own",
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

/** The architecture with changes of low rank in the blocks of the towers that are not locked. */
function withLora(config: ClipConfig, { lora, lockImage, lockText }: TrainConfig): ClipConfig {
  const { vision, text } = config;
  return {
    ...config,
    vision: vision.kind === "vit" && !lockImage ? { ...vision, lora } : vision,
    text: lockText ? text : { ...text, lora },
  };
}
