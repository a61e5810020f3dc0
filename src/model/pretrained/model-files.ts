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

/** File names in model folders, ours and Hugging Face's. */
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

/** Weights written by `convert --to onnx`, read if a folder has no others. */
const onnxNames = ["onnx/model.onnx", "onnx/model_fp16.onnx"];

/** Location of a model's vocabulary. */
export type Vocabulary =
  | { readonly kind: "clip" }
  | { readonly kind: "merges"; readonly file: string }
  | {
      readonly kind: "json";
      readonly file: string;
      readonly configFile: string;
      readonly cleaning: TextCleaning;
      /** Its repository on Hugging Face's hub, if the config has one. */
      readonly repository?: string | undefined;
    };

/** Settings and file locations of a model. */
export interface ModelFiles {
  readonly weights: string;
  readonly config: ClipConfig;
  readonly preprocess: PreprocessConfig;
  readonly vocabulary: Vocabulary;
  /** File with the words of its training captions. */
  readonly wordsFile?: string;
}

export interface ReadModelOptions {
  /** JSON file to use instead of the folder's config: ours, Hugging Face's or open_clip's. */
  readonly config?: string | undefined;
  /** Activation of a bare weight file, whose architecture is otherwise inferred from its shapes. */
  readonly activation?: ClipConfig["activation"] | undefined;
  /** Image size in pixels, if not the trained one; a ViT's positional embedding is resized. */
  readonly imageSize?: number | undefined;
  /** Folder with LoRA adapters from `clip-ts train`, to merge into the weights. */
  readonly lora?: string | undefined;
}

export const readModelKinds: OptionKinds<ReadModelOptions> = {
  config: text,
  activation: oneOf("quickGelu", "gelu", "geluTanh"),
  imageSize: wholeNumber(1),
  lora: text,
};

/** A `StoredModel` as an argument. */
export const storedModel: Kind = {
  wanted: "a model from readModel",
  fits: (value) => typeof value === "object" && value !== null && "parameters" in value && "preprocess" in value,
};

/** Schema of our `config.json`. `preprocess` and `tokenizer` default to OpenAI's. */
const ownConfigSchema = clipConfigSchema.extend({
  preprocess: preprocessSchema,
  /** The published vocabulary, or the name of a file in the folder. */
  tokenizer: z.enum(["clip", files.merges, files.tokenizer]).default("clip"),
  /** File with the words of the training captions; listed, so that pages do not request a missing file. */
  words: z.literal(files.words).optional(),
  /** Cleaning of texts before a `tokenizer.json`. */
  textCleaning: z.enum(["canonicalize", "lower", "none"]).default("none"),
});

/**
 * Finds a model's files and reads its settings.
 *
 * @throws {ClipError} `CLIP_FILE` if a file is missing; `CLIP_CONFIG` if a config is invalid or the activation unknown.
 */
export async function findModelFiles(path: string, options: ReadModelOptions): Promise<ModelFiles> {
  const folder = await isFolder(path).catch((cause: Error) => cannotOpen(path, cause));
  const inFolder = await configBeside(path, folder);
  const weights = folder ? await findWeights(path, inFolder === join(path, openClipConfigName)) : path;
  const configFile = options.config ?? inFolder;
  const found = configFile === undefined ? await bareFile(weights, options) : await configured(weights, configFile);
  checkConfig(found.config, configFile ?? weights);
  if (configFile !== undefined && options.activation && options.activation !== found.config.activation) {
    const both = `${configFile} has ${found.config.activation}, the option is ${options.activation}`;
    throw new ClipError("CLIP_USAGE", `two activations: ${both}; correct the config or omit the option`);
  }
  return found;
}

/** The config of a folder, or of an ONNX file: for `onnx/model.onnx` it is one folder up. */
async function configBeside(path: string, isFolder: boolean): Promise<string | undefined> {
  const names = [openClipConfigName, files.config];
  if (isFolder) return firstOf(path, names);
  return path.endsWith(".onnx") ? firstOf(dirname(dirname(path)), names) : undefined;
}

async function bareFile(weights: string, options: ReadModelOptions): Promise<ModelFiles> {
  const { tensors, container } = await openWeightFile(weights);
  // Only OpenAI published CLIPs as TorchScript.
  const { activation = container === "torchScript" ? "quickGelu" : undefined } = options;
  const config = inferConfig(tensors, activation, weights);
  const preprocess = await foreignPreprocess(dirname(weights), config);
  const vocabulary = await foreignVocabulary(dirname(weights), config, familyCleaning(config));
  return { weights, config, preprocess, vocabulary };
}

/** Text cleaning by family: SigLIP 2 (Gemma's vocabulary) was trained on lower case, SigLIP on text without punctuation. */
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
 * Preprocessing from Hugging Face's files. transformers 5 writes `processor_config.json` for images and texts and prefers it to
 * the older `preprocessor_config.json`. Older versions use the former name for other contents.
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

/** Size of OpenAI's vocabulary. */
const publishedVocabSize = 49_408;

/** OpenAI's vocabulary if the size fits, else one beside the weights or their config. */
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

/** Whether a model's vocabulary is available: the published one, or a file that exists. */
export async function hasVocabulary(vocabulary: Vocabulary, { text }: ClipConfig): Promise<boolean> {
  return vocabulary.kind === "clip" ? text.vocabSize === publishedVocabSize : exists(vocabulary.file);
}

/** Folders of other kinds of models, recognized by a file in them, with a hint. */
const otherFolders = {
  "model_index.json": "a diffusers pipeline; clip-ts needs both towers of a CLIP or SigLIP",
  "diffusion_pytorch_model.safetensors":
    "a part of a diffusers pipeline; clip-ts needs both towers of a CLIP or SigLIP",
  "modules.json": "a sentence-transformers model; give the folder in it that has the weights",
  "adapter_config.json": "a PEFT adapter; merge it into its model and save that",
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
