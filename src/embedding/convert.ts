import { mkdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import {
  inferConfig,
  refuseUnlessEqual,
  saveParameters,
  type StoredTensor,
  toHuggingFaceConfig,
  toHuggingFacePreprocess,
  toOpenClipConfig,
} from "../checkpoints/index.ts";
import { writeFileAtomic } from "../core/atomic-write.ts";
import { ClipError } from "../core/errors.ts";
import { exists, readText } from "../core/files.ts";
import { ClipTokenizer, formatMerges } from "../text/index.ts";
import { readTokenizer, type StoredModel } from "./model-folder.ts";
import { exportOnnx } from "./onnx-export.ts";

/** Whose files a model becomes. */
export const conversions = ["openai", "hf", "open_clip", "onnx"] as const;
export type Conversion = (typeof conversions)[number];

/** How {@link convertModel} writes. */
export interface ConvertOptions {
  readonly to: Conversion;
  /** What float32 matrices become; by default they stay what they are. */
  readonly dtype?: "F32" | "F16";
}

/**
 * Writes a model as others read it: `openai` one safetensors file in OpenAI's names; `hf` a folder for Hugging Face's
 * `CLIPModel` or `SiglipModel`, `onnx` the same with the weights as ONNX, for plain ONNX Runtime and transformers.js; `open_clip` one for open_clip, with their configs and the vocabulary, if the model has one. The
 * bytes of the weights are kept; the weights come last.
 *
 * @param out - the file, or the folder.
 * @returns the files written.
 * @throws {ClipError} `CLIP_CONFIG` or `CLIP_CHECKPOINT` if the target cannot say what the model is; `CLIP_FILE` if the disk
 *   is full or the place cannot be written.
 */
export async function convertModel(model: StoredModel, out: string, options: ConvertOptions): Promise<string[]> {
  const { to: names, dtype = "F32" } = options;
  const { config, preprocess, vocabulary } = model;
  const cleaning = vocabulary.kind === "json" ? vocabulary.cleaning : "none";
  if (names === "openai") {
    if (!out.endsWith(".safetensors"))
      throw new ClipError("CLIP_USAGE", `${out}: OpenAI's names are written to one file; name it *.safetensors`);
    await makeFolder(dirname(out));
    await saveParameters(out, model.parameters, { names, dtype });
    return [out];
  }
  const json = (value: object) => `${JSON.stringify(value, null, 2)}\n`;
  const files: Record<string, string> =
    names === "open_clip"
      ? { "open_clip_config.json": json(toOpenClipConfig(config, preprocess, cleaning)) }
      : {
          "config.json": json(toHuggingFaceConfig(config)),
          "preprocessor_config.json": json(toHuggingFacePreprocess(preprocess)),
        };
  await makeFolder(out);
  const written: string[] = [];
  for (const [name, text] of Object.entries({ ...files, ...(await vocabularyFiles(model, names)) })) {
    await writeFileAtomic(join(out, name), [text]);
    written.push(join(out, name));
  }
  for (const file of await copiedFiles(model)) {
    await writeFileAtomic(join(out, basename(file)), [await readText(file)]);
    written.push(join(out, basename(file)));
  }
  if (names === "onnx") {
    await makeFolder(join(out, "onnx"));
    for await (const [name, bytes] of exportOnnx(model, dtype)) {
      await writeFileAtomic(join(out, "onnx", name), [bytes]);
      written.push(join(out, "onnx", name));
    }
    return written;
  }
  const weights = join(out, names === "hf" ? "model.safetensors" : "open_clip_model.safetensors");
  await saveParameters(weights, model.parameters, { names, dtype });
  return [...written, weights];
}

async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((cause: Error) => {
    throw new ClipError("CLIP_FILE", `cannot make the folder ${folder}: ${cause.message}`, { cause });
  });
}

/**
 * What a bare weight file does not say of a model and would be read wrongly without a config, in words; undefined if nothing.
 */
export function unsaidByBareFile({ config, parameters, path }: StoredModel): string | undefined {
  const tensors = Array.from(parameters, ([name, { shape }]): [string, StoredTensor] => [
    name,
    { dtype: "F32", shape, file: path, byteOffset: 0, byteLength: 0 },
  ]);
  try {
    refuseUnlessEqual(inferConfig(new Map(tensors), config.activation, path), config, "a bare file");
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** The files of a vocabulary that is not made of merges; none if the model came without. */
async function copiedFiles({ vocabulary }: StoredModel): Promise<string[]> {
  if (vocabulary.kind !== "json") return [];
  return (await exists(vocabulary.file)) ? [vocabulary.file, vocabulary.configFile] : [];
}

/** A vocabulary of merges as the target reads it; open_clip brings the published one along. */
async function vocabularyFiles(model: StoredModel, names: Conversion): Promise<Record<string, string>> {
  if (model.vocabulary.kind === "json") return {};
  if (names === "open_clip" && model.vocabulary.kind === "clip") return {};
  const tokenizer = await readTokenizer(model);
  if (!(tokenizer instanceof ClipTokenizer)) return {};
  const merges = { "merges.txt": formatMerges(tokenizer.merges) };
  return names === "open_clip"
    ? merges
    : { ...merges, ...huggingFaceTokenizer(tokenizer, model.config.text.contextLength) };
}

/** The files of Hugging Face's `CLIPTokenizer` and `CLIPTokenizerFast`. */
function huggingFaceTokenizer(tokenizer: ClipTokenizer, contextLength: number): Record<string, string> {
  const tokens = tokenizer.tokens();
  const [start, end] = tokens.slice(-2) as [string, string];
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const marks = { bos_token: start, eos_token: end, pad_token: end, unk_token: end };
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
