import { z } from "zod";
import { clipConfigSchema } from "../checkpoints/config-schema.ts";
import { huggingFaceConfig, huggingFacePreprocess, isHuggingFaceConfig } from "../checkpoints/configs/hugging-face.ts";
import { isOpenClipConfig, openClipConfig, openClipTokenizer } from "../checkpoints/configs/open-clip.ts";
import { refuseOtherModels } from "../checkpoints/configs/refuse-other-models.ts";
import { inferConfig } from "../checkpoints/infer-config.ts";
import { openWeightFile } from "../checkpoints/weight-file.ts";
import { ClipError, problemOf } from "../../core/errors.ts";
import { dirname, exists, isFolder, join } from "../../core/files.ts";
import { type Kind, oneOf, type OptionKinds, text, wholeNumber } from "../../core/options.ts";
import { parseStrict, readJson } from "../../core/parse.ts";
import { openClipConfigName, weightNames } from "../hub/model-file-names.ts";
import { preprocessSchema, type PreprocessConfig } from "../../inputs/image/preprocess-config.ts";
import { checkConfig } from "../towers/parameters.ts";
import { type ClipConfig } from "../towers/config.ts";
import type { TextCleaning } from "../../inputs/text/tokenizer.ts";

/** Names of the files in a model folder, ours and Hugging Face's. */
export const files = {
  config: "config.json",
  merges: "merges.txt",
  processor: "processor_config.json",
  preprocessor: "preprocessor_config.json",
  tokenizer: "tokenizer.json",
  tokenizerConfig: "tokenizer_config.json",
  words: "words.txt",
  weights: "model.safetensors",
} as const;

/** Weights that `convert --to onnx` wrote, which are read where a folder has no others. */
const onnxNames = ["onnx/model.onnx", "onnx/model_fp16.onnx"];

/** Where a model's vocabulary is. */
export type Vocabulary =
  | { readonly kind: "clip" }
  | { readonly kind: "merges"; readonly file: string }
  | {
      readonly kind: "json";
      readonly file: string;
      readonly configFile: string;
      readonly cleaning: TextCleaning;
      /** Where on Hugging Face's hub it can be had, if the config says so. */
      readonly repository?: string | undefined;
    };

/** Everything that belongs to a model, as its files say it; of the weights only where they lie. */
export interface ModelFiles {
  readonly weights: string;
  readonly config: ClipConfig;
  readonly preprocess: PreprocessConfig;
  readonly vocabulary: Vocabulary;
  /** The words of its training captions, where a file has them. */
  readonly wordsFile?: string;
}

/** What a weight file alone does not say. */
export interface ReadModelOptions {
  /** A JSON file like a model folder's, ours, Hugging Face's or open_clip's, in its place. */
  readonly config?: string | undefined;
  /** In place of a config: the architecture is then read off the shapes. */
  readonly activation?: ClipConfig["activation"] | undefined;
  /** Another size for images than the model was trained with, in pixels; a ViT's positions are resized for it. */
  readonly imageSize?: number | undefined;
  /** A folder with changes of low rank that `clip-ts train` left beside its model, to be merged into the weights. */
  readonly lora?: string | undefined;
}

export const readModelKinds: OptionKinds<ReadModelOptions> = {
  config: text,
  activation: oneOf("quickGelu", "gelu", "geluTanh"),
  imageSize: wholeNumber(1),
  lora: text,
};

/** A model as `readModel` gives it. */
export const storedModel: Kind = {
  wanted: "a model as readModel gives it",
  fits: (value) => typeof value === "object" && value !== null && "parameters" in value && "preprocess" in value,
};

/**
 * `config.json` of our model folders: the architecture, and what the model expects of its inputs. Left out, `preprocess`
 * and `tokenizer` are those of the CLIPs that OpenAI published.
 */
const ownConfigSchema = clipConfigSchema.extend({
  preprocess: preprocessSchema,
  /** The published vocabulary, or the file of that name in the folder. */
  tokenizer: z.enum(["clip", files.merges, files.tokenizer]).default("clip"),
  /** The file with the words of the training captions, named so that a page asks for none that may be missing. */
  words: z.literal(files.words).optional(),
  /** What is done to texts before a `tokenizer.json` is asked. */
  textCleaning: z.enum(["canonicalize", "lower", "none"]).default("none"),
});

/**
 * Finds out what a model's files are and what they say.
 *
 * @throws {ClipError} `CLIP_FILE` if a file is missing; `CLIP_CONFIG` if a config does not say what is needed, or nothing says
 *   the activation.
 */
export async function findModelFiles(path: string, options: ReadModelOptions): Promise<ModelFiles> {
  const folder = await isFolder(path).catch((cause: Error) => cannotOpen(path, cause));
  const inFolder = await configBeside(path, folder);
  const weights = folder ? await findWeights(path, inFolder === join(path, openClipConfigName)) : path;
  const configFile = options.config ?? inFolder;
  const found = configFile === undefined ? await bareFile(weights, options) : await configured(weights, configFile);
  checkConfig(found.config, configFile ?? weights);
  if (configFile !== undefined && options.activation && options.activation !== found.config.activation) {
    const both = `${configFile} says ${found.config.activation}, the option says ${options.activation}`;
    throw new ClipError("CLIP_USAGE", `two activations: ${both}; correct the one or leave out the other`);
  }
  return found;
}

/** The config of a folder, or of the folder that an ONNX file lies in: `onnx/model.onnx` is beside its config's folder. */
async function configBeside(path: string, isFolder: boolean): Promise<string | undefined> {
  const names = [openClipConfigName, files.config];
  if (isFolder) return firstOf(path, names);
  return path.endsWith(".onnx") ? firstOf(dirname(dirname(path)), names) : undefined;
}

async function bareFile(weights: string, options: ReadModelOptions): Promise<ModelFiles> {
  const { tensors, container } = await openWeightFile(weights);
  // Nobody but OpenAI published CLIPs as TorchScript.
  const { activation = container === "torchScript" ? "quickGelu" : undefined } = options;
  const config = inferConfig(tensors, activation, weights);
  const preprocess = await foreignPreprocess(dirname(weights), config);
  const vocabulary = await foreignVocabulary(dirname(weights), config, familyCleaning(config));
  return { weights, config, preprocess, vocabulary };
}

/** SigLIP 2 (Gemma's vocabulary) was trained on lower case alone, SigLIP on text without punctuation. */
function familyCleaning({ score, text }: ClipConfig): TextCleaning {
  if (score !== "sigmoid") return "none";
  return text.vocabSize === 256_000 ? "lower" : "canonicalize";
}

async function configured(weights: string, configFile: string): Promise<ModelFiles> {
  const folder = dirname(configFile);
  const json = await readJson(z.unknown(), configFile);
  refuseOtherModels(json, configFile);
  if (isOpenClipConfig(json)) {
    const { config, preprocess } = openClipConfig(json, configFile);
    const { cleaning, repository } = openClipTokenizer(json);
    const vocabulary = await foreignVocabulary(folder, config, cleaning);
    const named = vocabulary.kind === "json" && repository !== undefined;
    return { weights, config, preprocess, vocabulary: named ? { ...vocabulary, repository } : vocabulary };
  }
  if (isHuggingFaceConfig(json)) {
    const config = huggingFaceConfig(json, configFile);
    const preprocess = await foreignPreprocess(folder, config);
    const vocabulary = await foreignVocabulary(folder, config, familyCleaning(config));
    return { weights, config, preprocess, vocabulary };
  }
  const { preprocess, tokenizer, textCleaning, words, ...config } = parseStrict(ownConfigSchema, json, configFile);
  const wordsFile = join(folder, files.words);
  return {
    weights,
    config,
    preprocess: { ...preprocess, imageSize: config.vision.imageSize },
    vocabulary: ownVocabulary(folder, tokenizer, textCleaning),
    ...((words !== undefined || (await exists(wordsFile))) && { wordsFile }),
  };
}

/**
 * What Hugging Face's files in a folder say of images. transformers 5 writes `processor_config.json` for images and texts
 * together and takes it before the older `preprocessor_config.json`; older processors have other things in a file of that name.
 */
async function foreignPreprocess(folder: string, config: ClipConfig): Promise<PreprocessConfig> {
  const [processor, preprocessor] = [join(folder, files.processor), join(folder, files.preprocessor)];
  if (await exists(processor)) {
    const { image_processor: images } = await readJson(processorSchema, processor);
    if (images) return huggingFacePreprocess(images, config, `${processor} (image_processor)`);
  }
  const images = (await exists(preprocessor)) ? await readJson(z.unknown(), preprocessor) : undefined;
  return huggingFacePreprocess(images, config, preprocessor);
}

const processorSchema = z.looseObject({ image_processor: z.looseObject({}).nullish() });

function ownVocabulary(folder: string, tokenizer: string, cleaning: TextCleaning): Vocabulary {
  if (tokenizer === "clip") return { kind: "clip" };
  const file = join(folder, tokenizer);
  if (tokenizer === files.merges) return { kind: "merges", file };
  return { kind: "json", file, configFile: join(folder, files.tokenizerConfig), cleaning };
}

/** Of the vocabulary that OpenAI published. */
const publishedVocabSize = 49_408;

/** CLIP's own vocabulary is known; another is looked for beside the weights or their config. */
async function foreignVocabulary(
  folder: string,
  { text, score }: ClipConfig,
  cleaning: TextCleaning,
): Promise<Vocabulary> {
  const siglip = score === "sigmoid";
  if (!siglip && text.vocabSize === publishedVocabSize) return { kind: "clip" };
  const merges = await firstOf(folder, [files.merges]);
  if (merges) return { kind: "merges", file: merges };
  const file = join(folder, files.tokenizer);
  if (!siglip && !(await exists(file))) return { kind: "clip" };
  return { kind: "json", file, configFile: join(folder, files.tokenizerConfig), cleaning };
}

/** Whether a model came with its vocabulary, or needs none but the published one. */
export async function hasVocabulary(vocabulary: Vocabulary, { text }: ClipConfig): Promise<boolean> {
  return vocabulary.kind === "clip" ? text.vocabSize === publishedVocabSize : exists(vocabulary.file);
}

/** What a folder without weights of its own is, by a file in it, and the way out. */
const otherFolders = {
  "model_index.json": "a pipeline of diffusers; clip-ts needs both towers of a CLIP or SigLIP",
  "diffusion_pytorch_model.safetensors": "a part of diffusers; clip-ts needs both towers of a CLIP or SigLIP",
  "modules.json": "a model of sentence-transformers; name the folder in it that has the weights",
  "adapter_config.json": "an adapter of PEFT's; merge it into its model and save that",
} as const;

async function findWeights(folder: string, hasOpenClipConfig: boolean): Promise<string> {
  const names = [...weightNames(hasOpenClipConfig), ...onnxNames];
  const found = await firstOf(folder, names);
  if (found) return found;
  for (const [name, kind] of Object.entries(otherFolders))
    if (await exists(join(folder, name))) throw new ClipError("CLIP_FILE", `${folder} is ${kind}`);
  throw new ClipError("CLIP_FILE", `${folder} has no weights: none of ${names.join(", ")}`);
}

async function firstOf(folder: string, names: readonly string[]): Promise<string | undefined> {
  for (const name of names) if (await exists(join(folder, name))) return join(folder, name);
  return undefined;
}

function cannotOpen(path: string, cause: Error): never {
  const wanted = `a folder with ${files.weights} and ${files.config}, or a weight file (.safetensors, .pt)`;
  const problem =
    (cause as { code?: string }).code === "ENOENT" ? "does not exist" : `cannot be read: ${problemOf(cause)}`;
  throw new ClipError("CLIP_FILE", `the model ${path} ${problem}; name ${wanted}`, { cause });
}
