import { realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { publishedVocabulary, toOpenClipConfig } from "../checkpoints/configs/open-clip.ts";
import { clipLayout } from "../checkpoints/names/layouts.ts";
import { saveParameters } from "../checkpoints/save.ts";
import { toHuggingFaceConfig, toHuggingFacePreprocess } from "../checkpoints/configs/hugging-face.ts";
import { makeFolder, type WatchOptions, writeFileAtomic } from "../../core/atomic-write.ts";
import { ClipError } from "../../core/errors.ts";
import {
  abortSignal,
  callback,
  checkKind,
  checkOptions,
  oneOf,
  type OptionKinds,
  text,
  wholeNumber,
} from "../../core/options.ts";
import { readText } from "../../core/files.ts";
import { maxVocabularyBytes } from "../../core/limits.ts";
import type { ClipConfig } from "../towers/config.ts";
import { ClipTokenizer } from "../../inputs/text/tokenizer.ts";
import { formatMerges } from "../../inputs/text/merges-file.ts";
import { JsonTokenizer } from "../../inputs/text/json-tokenizer.ts";
import { files as names, hasVocabulary, storedModel } from "./model-files.ts";
import { readTokenizer, type StoredModel } from "./model-folder.ts";
import { exportOnnx, type OnnxOptions } from "./onnx-export.ts";

export const conversions = ["openai", "hf", "open_clip", "onnx"] as const;
export type Conversion = (typeof conversions)[number];

export interface ConvertOptions extends WatchOptions, Pick<OnnxOptions, "maxInlineBytes"> {
  readonly to: Conversion;
  /** Dtype for float32 matrices; default F32. */
  readonly dtype?: "F32" | "F16";
}

const convertKinds: OptionKinds<ConvertOptions> = {
  to: oneOf(...conversions),
  dtype: oneOf("F32", "F16"),
  maxInlineBytes: wholeNumber(0),
  onProgress: callback,
  signal: abortSignal,
};

/**
 * Writes a model in another library's format, one parameter in memory at a time:
 * - `openai`: one safetensors file with OpenAI's tensor names;
 * - `hf`: a folder for Hugging Face's `CLIPModel` or `SiglipModel`;
 * - `onnx`: the same with ONNX programs, for plain ONNX Runtime and transformers.js;
 * - `open_clip`: a folder for open_clip.
 *
 * @param out - the file or folder.
 * @returns the written files.
 * @throws {ClipError} `CLIP_CONFIG` or `CLIP_CHECKPOINT` if the target cannot express the model; `CLIP_FILE` if the disk is full
 *   or the folder is not writable.
 */
export async function convertModel(model: StoredModel, out: string, options: ConvertOptions): Promise<string[]> {
  checkKind("convertModel: the model", model, storedModel);
  checkKind("convertModel: out", out, text);
  checkOptions("convertModel", options, convertKinds, ["to"]);
  await refuseOwnPlace(model, out);
  const { to, dtype = "F32", maxInlineBytes, ...watch } = options;
  if (to === "openai") {
    if (!out.endsWith(".safetensors"))
      throw new ClipError("CLIP_USAGE", `${out}: OpenAI's names are written to one file; name it *.safetensors`);
    await makeFolder(dirname(out));
    await saveParameters(out, model.parameters, { layout: clipLayout(to, model.config), dtype, ...watch });
    return [out];
  }
  const endOfTextId = to === "onnx" ? await endMark(model) : undefined;
  const onnx = to === "onnx" ? exportOnnx(model, { dtype, maxInlineBytes, endOfTextId }) : undefined;
  const files = { ...configFiles(model, options), ...(await vocabularyFiles(model, to)) };
  const copied = await copiedFiles(model);
  await makeFolder(out);
  const written: string[] = [];
  const write = async (name: string, text: string) => {
    await writeFileAtomic(join(out, name), [text]);
    written.push(join(out, name));
  };
  for (const [name, text] of Object.entries(files)) await write(name, text);
  for (const file of copied) await write(basename(file), await readText(file, maxVocabularyBytes));
  if (onnx) await makeFolder(join(out, "onnx"));
  for (const { name, byteLength, pieces } of onnx ?? []) {
    const file = join(out, "onnx", name);
    await writeFileAtomic(file, pieces(), { ...watch, total: byteLength });
    written.push(file);
  }
  if (to === "onnx") return written;
  const weights = join(out, to === "hf" ? "model.safetensors" : "open_clip_model.safetensors");
  await saveParameters(weights, model.parameters, { layout: clipLayout(to, model.config), dtype, ...watch });
  return [...written, weights];
}

/** The end-of-text id of a `tokenizer.json`, if the model pools there; undefined for CLIP's vocabulary. */
async function endMark(model: StoredModel): Promise<number | undefined> {
  if (model.vocabulary.kind !== "json" || model.config.text.pool === "last") return undefined;
  const tokenizer = await readTokenizer(model);
  const end = tokenizer instanceof JsonTokenizer ? tokenizer.encodeWithSpecialTokens("").at(-1) : undefined;
  if (end !== undefined) return end;
  throw new ClipError(
    "CLIP_CONFIG",
    `${model.path}: its vocabulary has no end-of-text token, which an ONNX export needs`,
  );
}

/** Configs of the target, as text by name. */
function configFiles(model: StoredModel, { to, maxInlineBytes }: ConvertOptions): Record<string, string> {
  const { config, preprocess, vocabulary } = model;
  const json = (value: object) => `${JSON.stringify(value, null, 2)}\n`;
  if (to === "open_clip") {
    const tokenizer = vocabulary.kind === "json" ? { ...vocabulary, repository: repositoryOf(model) } : undefined;
    return { "open_clip_config.json": json(toOpenClipConfig(config, preprocess, tokenizer)) };
  }
  // transformers.js needs a list of the ONNX files with external weights, for every dtype it may be asked for.
  const external = (["F32", "F16"] as const)
    .flatMap((dtype) => (to === "onnx" ? exportOnnx(model, { dtype, maxInlineBytes }) : []))
    .filter((file) => file.external);
  const use_external_data_format = Object.fromEntries(external.map(({ name }) => [name, 1]));
  const forTransformersJs = { "transformers.js_config": { use_external_data_format } };
  const described = to === "onnx" ? onnxConfig(model) : toHuggingFaceConfig(config);
  const readsThis = external.length > 0 && "model_type" in described;
  return {
    "config.json": json({ ...described, ...(readsThis && forTransformersJs) }),
    "preprocessor_config.json": json(toHuggingFacePreprocess(preprocess)),
  };
}

/** Hugging Face's config, for transformers.js; ours if it cannot express the model, such as a ResNet. */
function onnxConfig({ config, preprocess, vocabulary }: StoredModel): object {
  try {
    return toHuggingFaceConfig(config);
  } catch (error) {
    if (!(error instanceof ClipError) || error.code !== "CLIP_CONFIG") throw error;
    const { mean, std, resample, resizeMode } = preprocess;
    const tokenizer = { clip: "clip", merges: names.merges, json: names.tokenizer }[vocabulary.kind];
    const cleaning = vocabulary.kind === "json" ? { textCleaning: vocabulary.cleaning } : {};
    return { ...config, preprocess: { mean, std, resample, resizeMode }, tokenizer, ...cleaning };
  }
}

/** Hub repository from which open_clip can fetch the vocabulary, if known; its config cannot refer to a file. */
export function repositoryOf({ config, vocabulary }: Pick<StoredModel, "config" | "vocabulary">): string | undefined {
  return (vocabulary.kind === "json" ? vocabulary.repository : undefined) ?? publishedVocabulary(config);
}

/** Refuses to overwrite the files that the model is read from. */
async function refuseOwnPlace({ parameters }: StoredModel, out: string): Promise<void> {
  const place = await realpath(out).catch(() => undefined);
  for (const parameter of parameters.values()) {
    for (const { file } of "parts" in parameter ? parameter.parts : [])
      if (place === (await realpath(file)) || place === (await realpath(dirname(file))))
        throw new ClipError("CLIP_USAGE", `${out} is where the model is read from; choose another output`);
  }
}

/** Files of a `tokenizer.json` vocabulary; none if the model came without one. */
async function copiedFiles({ vocabulary, config }: StoredModel): Promise<string[]> {
  if (vocabulary.kind !== "json") return [];
  return (await hasVocabulary(vocabulary, config)) ? [vocabulary.file, vocabulary.configFile] : [];
}

/** Files of a BPE vocabulary for the target; open_clip includes the published one. */
async function vocabularyFiles(model: StoredModel, names: Conversion): Promise<Record<string, string>> {
  if (model.vocabulary.kind === "json" || !(await hasVocabulary(model.vocabulary, model.config))) return {};
  if (names === "open_clip" && model.vocabulary.kind === "clip") return {};
  const tokenizer = await readTokenizer(model);
  if (!(tokenizer instanceof ClipTokenizer)) return {};
  const merges = { "merges.txt": formatMerges(tokenizer.merges) };
  return names === "open_clip" ? merges : { ...merges, ...huggingFaceTokenizer(tokenizer, model.config.text) };
}

/** The files of Hugging Face's `CLIPTokenizer` and `CLIPTokenizerFast`. */
function huggingFaceTokenizer(
  tokenizer: ClipTokenizer,
  { contextLength, causal = true }: ClipConfig["text"],
): Record<string, string> {
  const tokens = tokenizer.tokens();
  const [start, end] = tokens.slice(-2) as [string, string];
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  // Without a causal mask the padding affects the result, so it must equal this library's.
  const pad = causal ? end : tokens[tokenizer.padId]!;
  const marks = { bos_token: start, eos_token: end, pad_token: pad, unk_token: end };
  const added = ([token, normalized]: [string, boolean]) => ({
    ...{
      id: vocab[token],
      content: token,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized,
      special: true,
    },
  });
  const split = "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";
  const blanks = { type: "Replace", pattern: { Regex: "\\s+" }, content: " " };
  const json = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [added([start, true]), added([end, false])],
    normalizer: { type: "Sequence", normalizers: [{ type: "NFC" }, blanks, { type: "Lowercase" }] },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: split }, behavior: "Removed", invert: true },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
      ],
    },
    post_processor: {
      type: "RobertaProcessing",
      ...{ sep: [end, vocab[end]], cls: [start, vocab[start]], trim_offsets: false, add_prefix_space: false },
    },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      ...{ dropout: null, unk_token: end, continuing_subword_prefix: "", end_of_word_suffix: "</w>" },
      ...{ fuse_unk: false, byte_fallback: false, vocab, merges: tokenizer.merges },
    },
  };
  return {
    "tokenizer.json": JSON.stringify(json),
    "vocab.json": JSON.stringify(vocab),
    "tokenizer_config.json": JSON.stringify({
      ...{ tokenizer_class: "CLIPTokenizer", ...marks, do_lower_case: true, model_max_length: contextLength },
    }),
    "special_tokens_map.json": JSON.stringify(marks),
  };
}
