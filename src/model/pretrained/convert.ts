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

/** Whose files a model becomes. */
export const conversions = ["openai", "hf", "open_clip", "onnx"] as const;
export type Conversion = (typeof conversions)[number];

/** How {@link convertModel} writes. */
export interface ConvertOptions extends WatchOptions, Pick<OnnxOptions, "maxInlineBytes"> {
  readonly to: Conversion;
  /** What float32 matrices become; by default they stay what they are. */
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
 * Writes a model as others read it: `openai` one safetensors file in OpenAI's names; `hf` a folder for Hugging Face's
 * `CLIPModel` or `SiglipModel`, `onnx` the same with the weights as ONNX, for plain ONNX Runtime and transformers.js;
 * `open_clip` one for open_clip, with their configs and the vocabulary, if the model has one. The bytes of the weights are
 * kept; the weights come last, and no more than one parameter of them is in memory at a time.
 *
 * @param out - the file, or the folder.
 * @returns the files written.
 * @throws {ClipError} `CLIP_CONFIG` or `CLIP_CHECKPOINT` if the target cannot say what the model is; `CLIP_FILE` if the disk
 *   is full or the place cannot be written.
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

/** The mark that ends a text by a vocabulary of another kind than CLIP's, if the model reads texts there. */
async function endMark(model: StoredModel): Promise<number | undefined> {
  if (model.vocabulary.kind !== "json" || model.config.text.pool === "last") return undefined;
  const tokenizer = await readTokenizer(model);
  const end = tokenizer instanceof JsonTokenizer ? tokenizer.encodeWithSpecialTokens("").at(-1) : undefined;
  if (end !== undefined) return end;
  throw new ClipError(
    "CLIP_CONFIG",
    `${model.path}: its vocabulary has no mark that ends a text; such are not exported`,
  );
}

/** What the target reads beside weights and vocabulary. */
function configFiles(model: StoredModel, { to, maxInlineBytes }: ConvertOptions): Record<string, string> {
  const { config, preprocess, vocabulary } = model;
  const json = (value: object) => `${JSON.stringify(value, null, 2)}\n`;
  if (to === "open_clip") {
    const tokenizer = vocabulary.kind === "json" ? { ...vocabulary, repository: repositoryOf(model) } : undefined;
    return { "open_clip_config.json": json(toOpenClipConfig(config, preprocess, tokenizer)) };
  }
  // transformers.js fetches what is beside an ONNX file if the config says that there is something, whichever dtype it is asked for.
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

/** Hugging Face's config, so that transformers.js reads the model; ours for what their classes cannot be, such as a ResNet. */
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

/** Where open_clip can fetch the vocabulary, if that is known: its config names no file. */
export function repositoryOf({ config, vocabulary }: Pick<StoredModel, "config" | "vocabulary">): string | undefined {
  return (vocabulary.kind === "json" ? vocabulary.repository : undefined) ?? publishedVocabulary(config);
}

/** What is read while it is written must not be replaced before it is read. */
async function refuseOwnPlace({ parameters }: StoredModel, out: string): Promise<void> {
  const place = await realpath(out).catch(() => undefined);
  for (const parameter of parameters.values()) {
    for (const { file } of "parts" in parameter ? parameter.parts : [])
      if (place === (await realpath(file)) || place === (await realpath(dirname(file))))
        throw new ClipError("CLIP_USAGE", `${out} is where the model is read from; name another place to write it`);
  }
}

/** The files of a vocabulary that is not made of merges; none if the model came without. */
async function copiedFiles({ vocabulary, config }: StoredModel): Promise<string[]> {
  if (vocabulary.kind !== "json") return [];
  return (await hasVocabulary(vocabulary, config)) ? [vocabulary.file, vocabulary.configFile] : [];
}

/** A vocabulary of merges as the target reads it; open_clip brings the published one along. */
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
  // What stands behind a text's end counts where its tokens see all others: then it is what this library pads with.
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
