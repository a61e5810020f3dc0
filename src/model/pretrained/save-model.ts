import { rm } from "node:fs/promises";
import { join } from "node:path";
import { saveParameters } from "../checkpoints/save.ts";
import { makeFolder, writeFileAtomic } from "../../core/atomic-write.ts";
import { ClipError } from "../../core/errors.ts";
import { checkOptions, listOf, oneOf, type OptionKinds, record, text } from "../../core/options.ts";
import type { TensorData } from "../../core/tensor-data.ts";
import type { PreprocessConfig } from "../../inputs/image/preprocess-config.ts";
import type { ClipConfig } from "../towers/config.ts";
import { ClipTokenizer, type TextTokenizer } from "../../inputs/text/tokenizer.ts";
import { formatMerges } from "../../inputs/text/merges-file.ts";
import { files } from "./model-files.ts";

/** A model in memory, for {@link saveModel}. */
export interface ModelToSave {
  readonly config: ClipConfig;
  /** Without `imageSize`, which is in the config. */
  readonly preprocess: Omit<PreprocessConfig, "imageSize">;
  readonly tokenizer: TextTokenizer;
  /** By path. */
  readonly parameters: ReadonlyMap<string, TensorData<"float32">>;
  /** Words of the training captions, so that the model can report unknown words in labels. */
  readonly words?: readonly string[] | undefined;
  /** Stored dtype of matrices; default F32. */
  readonly dtype?: "F32" | "F16" | undefined;
}

const modelKinds: OptionKinds<ModelToSave> = {
  ...{ config: record, preprocess: record, tokenizer: record, parameters: record },
  ...{ words: listOf(text), dtype: oneOf("F32", "F16") },
};

/**
 * Writes a model folder for `readModel`. Each file is replaced atomically, the weights last.
 *
 * @throws {ClipError} `CLIP_FILE` if the disk is full or the folder is not writable; `CLIP_CONFIG` if the tokenizer does not fit
 *   the config.
 */
export async function saveModel(folder: string, model: ModelToSave): Promise<void> {
  checkOptions("saveModel", model, modelKinds, ["config", "preprocess", "tokenizer", "parameters"]);
  const { config, preprocess, tokenizer, parameters, words, dtype = "F32" } = model;
  const { source, vocabSize } = tokenizer;
  // A token embedding may have more rows than a tokenizer.json has tokens.
  if (source.kind === "merges" ? vocabSize !== config.text.vocabSize : vocabSize > config.text.vocabSize) {
    const both = `the config's vocabSize is ${config.text.vocabSize}, the tokenizer's ${vocabSize}`;
    throw new ClipError("CLIP_CONFIG", `${both}; build the model with the tokenizer's`);
  }
  const { mean, std, resample, resizeMode } = preprocess;
  const published = tokenizer === (await ClipTokenizer.published());
  const json = {
    ...config,
    preprocess: { mean, std, resample, resizeMode },
    tokenizer: published ? "clip" : source.kind === "merges" ? files.merges : files.tokenizer,
    ...(source.kind === "json" && { textCleaning: source.cleaning }),
    ...(words && { words: files.words }),
  };
  await makeFolder(folder);
  await replaceText(join(folder, files.config), `${JSON.stringify(json, null, 2)}\n`);
  const merges = source.kind === "merges" && !published ? formatMerges(source.merges) : undefined;
  await replaceText(join(folder, files.merges), merges);
  const inJson = (part: "json" | "config") => (source.kind === "json" ? JSON.stringify(source[part]) : undefined);
  await replaceText(join(folder, files.tokenizer), inJson("json"));
  await replaceText(join(folder, files.tokenizerConfig), inJson("config"));
  await replaceText(join(folder, files.words), words && [...words, ""].join("\n"));
  await saveParameters(join(folder, files.weights), parameters, { dtype });
}

async function replaceText(path: string, text: string | undefined): Promise<void> {
  if (text === undefined) await rm(path, { force: true });
  else await writeFileAtomic(path, [text]);
}
