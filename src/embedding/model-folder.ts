import { mkdir, readFile, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import {
  clipConfigSchema,
  inferConfig,
  loadParameters,
  openWeightFile,
  readParameter,
  saveParameters,
  type StoredParameters,
} from "../checkpoints/index.ts";
import { writeFileAtomic } from "../core/atomic-write.ts";
import { ClipError } from "../core/errors.ts";
import { readJson } from "../core/parse.ts";
import type { TensorData } from "../core/tensor-data.ts";
import { clipPreprocess, preprocessSchema, type PreprocessConfig } from "../image/preprocess-config.ts";
import type { ClipConfig } from "../models/index.ts";
import { ClipTokenizer, formatMerges, parseMerges } from "../text/index.ts";

/** The model in the box: its folder in this package. */
export const pictogramModel = fileURLToPath(new URL("../../assets/pictogram-clip", import.meta.url));

const files = {
  config: "config.json",
  merges: "merges.txt",
  words: "words.txt",
  weights: "model.safetensors",
} as const;

/**
 * `config.json` of a model folder: the architecture, and what the model expects of its inputs. Left out, `preprocess`
 * and `tokenizer` are those of the CLIPs that OpenAI published.
 */
const modelConfigSchema = clipConfigSchema.extend({
  preprocess: preprocessSchema,
  /** The published vocabulary, or the file of that name in the folder. */
  tokenizer: z.enum(["clip", files.merges]).default("clip"),
});

/** A model on disk: everything that belongs together, with the weights as places in their file. */
export interface StoredModel {
  /** The folder or file it was read from. */
  readonly path: string;
  readonly config: ClipConfig;
  readonly preprocess: PreprocessConfig;
  /** The file of its merges; undefined for the published vocabulary. */
  readonly mergesFile: string | undefined;
  readonly parameters: StoredParameters;
  /** What cosines are multiplied with before a softmax, as a logarithm. */
  readonly logitScale: number;
  /** The words of its training captions, if the model is small enough to know only these. */
  readonly words: ReadonlySet<string> | undefined;
}

/** What a weight file alone does not say. */
export interface ReadModelOptions {
  /** A JSON file like a model folder's `config.json`, in its place. */
  readonly config?: string | undefined;
  /** In place of a config: the architecture is then read off the shapes. */
  readonly activation?: ClipConfig["activation"] | undefined;
}

/**
 * Reads what a model consists of; of the weights only where they lie.
 *
 * @param path - a folder with `model.safetensors` and `config.json`, or a bare weight file (safetensors or PyTorch's; in our
 *   names, OpenAI's, open_clip's or Hugging Face's), for which `config` or `activation` must be given unless it is one of
 *   OpenAI's TorchScript archives. Default: the model in the box.
 * @throws {ClipError} `CLIP_FILE` if a file is missing; `CLIP_CONFIG` if a config does not say what is needed, or nothing
 *   says the activation; `CLIP_CHECKPOINT` if the weights do not fit, with all differences.
 */
export async function readModel(path = pictogramModel, options: ReadModelOptions = {}): Promise<StoredModel> {
  const isFolder = (await statModel(path)).isDirectory();
  const weights = isFolder ? join(path, files.weights) : path;
  const ownConfig = isFolder && (await exists(join(path, files.config))) ? join(path, files.config) : undefined;
  const configFile = options.config ?? ownConfig;
  if (configFile === undefined) {
    const { tensors, container } = await openWeightFile(weights);
    // Nobody but OpenAI published CLIPs as TorchScript.
    const { activation = container === "torchScript" ? "quickGelu" : undefined } = options;
    const config = inferConfig(tensors, activation, weights);
    const preprocess = { ...clipPreprocess, imageSize: config.vision.imageSize };
    return {
      path,
      config,
      preprocess,
      mergesFile: undefined,
      ...(await readWeights(weights, config)),
      words: undefined,
    };
  }
  const { preprocess, tokenizer, ...config } = await readJson(modelConfigSchema, configFile);
  if (options.activation && options.activation !== config.activation) {
    const both = `${configFile} says ${config.activation}, the option says ${options.activation}`;
    throw new ClipError("CLIP_USAGE", `two activations: ${both}; correct the one or leave out the other`);
  }
  return {
    path,
    config,
    preprocess: { ...preprocess, imageSize: config.vision.imageSize },
    mergesFile: tokenizer === "clip" ? undefined : join(dirname(configFile), tokenizer),
    ...(await readWeights(weights, config)),
    words: await readWords(join(dirname(configFile), files.words)),
  };
}

async function readWeights(path: string, config: ClipConfig) {
  const parameters = await loadParameters(path, config);
  return { parameters, logitScale: (await readParameter(parameters.get("logitScale")!)).data[0]! };
}

/**
 * The tokenizer that belongs to a model.
 *
 * @throws {ClipError} `CLIP_FILE` or `CLIP_TEXT` if its merges cannot be read; `CLIP_CONFIG` if the vocabulary is not as
 *   large as the model's token table.
 */
export async function readTokenizer({ path, config, mergesFile }: StoredModel): Promise<ClipTokenizer> {
  const tokenizer = mergesFile ? new ClipTokenizer(parseMerges(await readText(mergesFile))) : ClipTokenizer.published();
  const { vocabSize } = config.text;
  if (tokenizer.vocabSize !== vocabSize) {
    const met = `${mergesFile ?? "the published vocabulary"} has ${tokenizer.vocabSize}`;
    throw new ClipError(
      "CLIP_CONFIG",
      `${path} has a table of ${vocabSize} tokens, and ${met}: put the merges it was trained with into ` +
        `${files.merges} beside its ${files.config}, with "tokenizer": "${files.merges}"`,
    );
  }
  return tokenizer;
}

/** A model in memory, as {@link saveModel} takes it. */
export interface ModelToSave {
  readonly config: ClipConfig;
  /** `imageSize` is the config's. */
  readonly preprocess: Omit<PreprocessConfig, "imageSize">;
  readonly tokenizer: ClipTokenizer;
  /** By our paths. */
  readonly parameters: ReadonlyMap<string, TensorData<"float32">>;
  /** The words of the training captions, if the model is to say when a label has others. */
  readonly words?: readonly string[];
  /** How matrices are stored; F16 halves the file. Default F32. */
  readonly dtype?: "F32" | "F16";
}

/**
 * Writes a model folder for {@link readModel}. Each file is replaced as a whole, the weights last.
 *
 * @throws {ClipError} `CLIP_FILE` if the disk is full or the folder cannot be written; `CLIP_CONFIG` if the tokenizer is
 *   not the config's.
 */
export async function saveModel(folder: string, model: ModelToSave): Promise<void> {
  const { config, preprocess, tokenizer, parameters, words, dtype = "F32" } = model;
  if (tokenizer.vocabSize !== config.text.vocabSize) {
    const both = `the config's vocabSize is ${config.text.vocabSize}, the tokenizer's ${tokenizer.vocabSize}`;
    throw new ClipError("CLIP_CONFIG", `${both}; build the model with the tokenizer's`);
  }
  const { mean, std, resample } = preprocess;
  const published = tokenizer === ClipTokenizer.published();
  const json = { ...config, preprocess: { mean, std, resample }, tokenizer: published ? "clip" : files.merges };
  await mkdir(folder, { recursive: true }).catch((cause: Error) => {
    throw new ClipError("CLIP_FILE", `cannot make the folder ${folder}: ${cause.message}`, { cause });
  });
  await replaceText(join(folder, files.config), `${JSON.stringify(json, null, 2)}\n`);
  await replaceText(join(folder, files.merges), published ? undefined : formatMerges(tokenizer.merges));
  await replaceText(join(folder, files.words), words && [...words, ""].join("\n"));
  await saveParameters(join(folder, files.weights), parameters, { dtype });
}

async function replaceText(path: string, text: string | undefined): Promise<void> {
  if (text === undefined) await rm(path, { force: true });
  else await writeFileAtomic(path, [text]);
}

async function statModel(path: string) {
  try {
    return await stat(path);
  } catch (cause) {
    const wanted = `a folder with ${files.weights} and ${files.config}, or a weight file (.safetensors, .pt)`;
    const problem = (cause as NodeJS.ErrnoException).code === "ENOENT" ? "does not exist" : "cannot be read";
    throw new ClipError("CLIP_FILE", `the model ${path} ${problem}; name ${wanted}`, { cause });
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function readText(path: string): Promise<string> {
  return readFile(path, "utf8").catch((cause: Error) => {
    throw new ClipError("CLIP_FILE", `cannot read ${path}: ${cause.message}`, { cause });
  });
}

async function readWords(path: string): Promise<ReadonlySet<string> | undefined> {
  if (!(await exists(path))) return undefined;
  return new Set((await readText(path)).split(/\r?\n/).filter((word) => word !== ""));
}
