import { z } from "zod";
import { withImageSize } from "../checkpoints/image-size.ts";
import { loadParameters, readParameter, type StoredParameters } from "../checkpoints/load.ts";
import { clipParameters } from "../towers/parameters.ts";
import { ClipError } from "../../core/errors.ts";
import { exists, readText } from "../../core/files.ts";
import { checkKind, checkOptions, text } from "../../core/options.ts";
import { readJson } from "../../core/parse.ts";
import { maxConfigBytes, maxVocabularyBytes } from "../../core/limits.ts";
import type { PreprocessConfig } from "../../inputs/image/preprocess-config.ts";
import type { ClipConfig } from "../towers/config.ts";
import { ClipTokenizer, type TextTokenizer } from "../../inputs/text/tokenizer.ts";
import { JsonTokenizer } from "../../inputs/text/json-tokenizer.ts";
import { parseMerges } from "../../inputs/text/merges-file.ts";
import { withLora } from "./lora.ts";
import {
  files,
  findModelFiles,
  readModelKinds,
  type ReadModelOptions,
  storedModel,
  type Vocabulary,
} from "./model-files.ts";

/** A model on disk: its settings, and the locations of its weights. */
export interface StoredModel {
  /** Folder or file that it was read from. */
  readonly path: string;
  readonly config: ClipConfig;
  readonly preprocess: PreprocessConfig;
  readonly vocabulary: Vocabulary;
  readonly parameters: StoredParameters;
  /** Log of the scale applied to cosine similarities. */
  readonly logitScale: number;
  /** Logit bias; 0 unless the model is SigLIP-style. */
  readonly logitBias: number;
  /** Words of its training captions, if its files list them. */
  readonly words: ReadonlySet<string> | undefined;
}

/**
 * Reads a model's settings and locates its weights, without loading them.
 *
 * @param path - a folder with weights and our, Hugging Face's or open_clip's config; or a bare weight file (safetensors, an
 *   index of shards, or PyTorch). A bare file needs `config` or `activation`, unless it is OpenAI's TorchScript archive. For names
 *   of models use `resolveModel`.
 * @throws {ClipError} `CLIP_FILE` if a file is missing; `CLIP_CONFIG` if a config is invalid or the activation unknown;
 *   `CLIP_CHECKPOINT` if the weights or the adapters of `lora` do not fit, with all differences.
 */
export async function readModel(path: string, options: ReadModelOptions = {}): Promise<StoredModel> {
  checkKind("readModel: the path", path, text);
  checkOptions("readModel", options, readModelKinds);
  const { weights, wordsFile, ...found } = await findModelFiles(path, options);
  const { imageSize = found.config.vision.imageSize } = options;
  const bare = await loadParameters(weights, clipParameters(found.config));
  const stored = options.lora === undefined ? bare : await withLora(bare, options.lora, path);
  const { config, parameters } = await withImageSize(found.config, stored, imageSize);
  const scalar = async (name: string) => (await readParameter(parameters.get(name)!)).data[0]!;
  return {
    path,
    ...found,
    config,
    preprocess: { ...found.preprocess, imageSize },
    parameters,
    logitScale: await scalar("logitScale"),
    logitBias: parameters.has("logitBias") ? await scalar("logitBias") : 0,
    words: wordsFile ? await readWords(wordsFile) : undefined,
  };
}

/**
 * Reads a model's tokenizer.
 *
 * @throws {ClipError} `CLIP_FILE` or `CLIP_TEXT` if its vocabulary cannot be read; `CLIP_CONFIG` if its size does not fit the
 *   model's token embedding.
 */
export async function readTokenizer(model: StoredModel): Promise<TextTokenizer> {
  checkKind("readTokenizer: the model", model, storedModel);
  const { path, config, vocabulary } = model;
  const { vocabSize } = config.text;
  if (vocabulary.kind === "json") {
    const { file, configFile, cleaning } = vocabulary;
    if (!(await exists(file)))
      throw new ClipError(
        "CLIP_FILE",
        `${path} comes without its vocabulary: put the model's tokenizer.json at ${file}`,
      );
    const json = await readJson(jsonObject, file, maxVocabularyBytes);
    const tokenizerConfig = await readJson(jsonObject, configFile);
    const tokenizer = inFile(file, () => new JsonTokenizer(json, tokenizerConfig, cleaning));
    if (tokenizer.vocabSize <= vocabSize) return tokenizer;
    const both = `${path} has ${vocabSize} token embeddings, but ${file} has ids up to ${tokenizer.vocabSize - 1}`;
    throw new ClipError("CLIP_CONFIG", `${both}: it belongs to another model`);
  }
  const own = vocabulary.kind === "merges" ? vocabulary.file : undefined;
  const merges = own && (await readText(own, maxConfigBytes));
  const tokenizer =
    own && merges !== undefined
      ? inFile(own, () => new ClipTokenizer(parseMerges(merges)))
      : await ClipTokenizer.published();
  if (tokenizer.vocabSize !== vocabSize) {
    const met = `${own ?? "the published vocabulary"} has ${tokenizer.vocabSize}`;
    throw new ClipError(
      "CLIP_CONFIG",
      `${path} has ${vocabSize} token embeddings, but ${met}; put the merges it was trained with into ` +
        `${files.merges} beside its ${files.config}, with "tokenizer": "${files.merges}"`,
    );
  }
  return tokenizer;
}

/** Adds the file's name to errors about its contents. */
function inFile<Result>(file: string, read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ClipError)) throw error;
    throw new ClipError(error.code, `${file}: ${error.message}`, { cause: error });
  }
}

const jsonObject = z.looseObject({});

async function readWords(path: string): Promise<ReadonlySet<string>> {
  return new Set((await readText(path, maxVocabularyBytes)).split(/\r?\n/).filter((word) => word !== ""));
}
