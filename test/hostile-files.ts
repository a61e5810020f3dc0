import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openWeightFile } from "../src/model/checkpoints/weight-file.ts";
import { ClipError } from "../src/core/errors.ts";
import { convertModel } from "../src/model/pretrained/convert.ts";
import { readModel, readTokenizer } from "../src/model/pretrained/model-folder.ts";
import { type Vocabulary, findModelFiles } from "../src/model/pretrained/model-files.ts";
import { damage, damageJson } from "./damage.ts";
import { saveTinyModel, tinyCaptions } from "./tiny-model.ts";

/** A file that hostile input may stand in, and what reads it. */
export interface HostileFile {
  readonly name: string;
  readonly path: string;
  /** Reads the file; what it gives back uses what was read. */
  readonly read: () => Promise<(() => void) | undefined>;
}

/** Unigram, as SentencePiece's vocabularies become in `tokenizer.json`, with every kind of part that SigLIP's have. */
const unigram = {
  version: "1.0",
  added_tokens: [
    { id: 1, content: "</s>", special: true, single_word: false, lstrip: false, rstrip: false, normalized: false },
  ],
  normalizer: {
    type: "Sequence",
    normalizers: [
      { type: "NFKC" },
      { type: "Replace", pattern: { Regex: " {2,}" }, content: " " },
      { type: "Lowercase" },
    ],
  },
  pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true },
  post_processor: {
    type: "TemplateProcessing",
    single: [{ Sequence: { id: "A", type_id: 0 } }, { SpecialToken: { id: "</s>", type_id: 0 } }],
    pair: [],
    special_tokens: { "</s>": { id: "</s>", ids: [1], tokens: ["</s>"] } },
  },
  decoder: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true },
  model: {
    type: "Unigram",
    unk_id: 2,
    byte_fallback: false,
    vocab: ["<pad>", "</s>", "<unk>", "▁a", "▁red", "▁apple", "▁", "a", "p", "l", "e", "s"].map((token, i) => [
      token,
      -i,
    ]),
  },
};

const texts = [...tinyCaptions, "", "it's 12 o'clock", "naïve 日本語 🙂", "x".repeat(300)];

/** Every text file that belongs to a model, and weights as ONNX, each in a folder where it is whole. */
export async function hostileFiles(root: string): Promise<HostileFile[]> {
  const own = await saveTinyModel(join(root, "own"), { words: ["apple", "red"] });
  const model = await readModel(own);
  const [hf, openClip, shards, sentences] = ["hf", "open_clip", "shards", "sentences"].map((name) => join(root, name));
  await convertModel(model, hf!, { to: "hf" });
  await convertModel(model, openClip!, { to: "open_clip" });
  const [processor, onnx] = [join(root, "processor"), join(root, "onnx-weights")];
  await convertModel(model, processor, { to: "hf" });
  const images = JSON.parse(await readFile(join(processor, "preprocessor_config.json"), "utf8")) as object;
  const both = { image_processor: images, processor_class: "CLIPProcessor" };
  await writeFile(join(processor, "processor_config.json"), JSON.stringify(both));
  await convertModel(model, onnx, { to: "onnx" });
  const onnxFile = join(onnx, "onnx", "model.onnx");
  await mkdir(shards!);
  await mkdir(sentences!);
  await writeFile(join(sentences!, "tokenizer.json"), JSON.stringify(unigram));
  await writeFile(join(sentences!, "tokenizer_config.json"), JSON.stringify({ pad_token: "<pad>" }));
  const { tensors } = await openWeightFile(join(own, "model.safetensors"));
  const weight_map = Object.fromEntries([...tensors.keys()].map((name, i) => [name, `model-${i % 2}.safetensors`]));
  for (const i of [0, 1])
    await writeFile(join(shards!, `model-${i}.safetensors`), await readFile(join(own, "model.safetensors")));
  const index = join(shards!, "model.safetensors.index.json");
  await writeFile(index, JSON.stringify({ metadata: { total_size: 1 }, weight_map }));

  const files = (name: string, folder: string, file: string): HostileFile => ({
    ...{ name, path: join(folder, file) },
    read: async () => void (await findModelFiles(folder, {})),
  });
  const vocabulary = (name: string, folder: string, file: string, kind: Vocabulary): HostileFile => ({
    ...{ name, path: join(folder, file) },
    read: async () => {
      const tokenizer = await readTokenizer({ ...model, path: folder, vocabulary: kind });
      return () => {
        const { inputIds } = tokenizer.tokenize(texts, { contextLength: 24, truncate: true });
        if (inputIds.some((id) => id < 0 || id >= model.config.text.vocabSize))
          throw new Error("an id without a token");
      };
    },
  });
  const json = (folder: string): Vocabulary => ({
    ...{ kind: "json", file: join(folder, "tokenizer.json"), configFile: join(folder, "tokenizer_config.json") },
    cleaning: "none",
  });
  return [
    files("config.json of our own", own, "config.json"),
    files("config.json of Hugging Face's", hf!, "config.json"),
    files("preprocessor_config.json", hf!, "preprocessor_config.json"),
    files("processor_config.json", processor, "processor_config.json"),
    files("open_clip_config.json", openClip!, "open_clip_config.json"),
    { name: "model.onnx", path: onnxFile, read: async () => void (await openWeightFile(onnxFile)) },
    { name: "index.json", path: index, read: async () => void (await openWeightFile(index)) },
    vocabulary("tokenizer.json, byte pairs", hf!, "tokenizer.json", json(hf!)),
    vocabulary("tokenizer.json, unigrams", sentences!, "tokenizer.json", json(sentences!)),
    vocabulary("tokenizer_config.json", hf!, "tokenizer_config.json", json(hf!)),
    vocabulary("merges.txt", own, "merges.txt", { kind: "merges", file: join(own, "merges.txt") }),
    { name: "words.txt", path: join(own, "words.txt"), read: async () => void (await readModel(own)) },
  ];
}

/** What became of many damaged copies of one file. */
export interface HostileRun {
  readonly refused: number;
  /** Of the processor, so that other work on the machine does not count. */
  readonly slowestMs: number;
}

/**
 * Reads damaged copies of a file, of every second one its values rather than its bytes, and puts it back as it was.
 *
 * @throws {Error} with the seed if one gives another error than ours, one that does not name its folder, or reaches an object's
 *   prototype.
 */
export async function readDamaged(file: HostileFile, seed: number, count: number): Promise<HostileRun> {
  const whole = await readFile(file.path);
  const isJson = file.path.endsWith(".json");
  let [refused, slowestMs] = [0, 0];
  for (let i = seed; i < seed + count; i++) {
    await writeFile(file.path, isJson && i % 2 === 1 ? damageJson(whole.toString(), i) : damage(whole, i));
    const start = process.cpuUsage();
    try {
      const use = await file.read().catch((error: unknown) => {
        if (error instanceof ClipError && !error.message.includes(join(file.path, "..")))
          throw new Error(`the error names no file: ${error.message}`, { cause: error });
        throw error;
      });
      use?.();
    } catch (error) {
      if (!(error instanceof ClipError)) throw new Error(`${file.name}, seed ${i}`, { cause: error });
      refused++;
    }
    const { user, system } = process.cpuUsage(start);
    slowestMs = Math.max(slowestMs, (user + system) / 1000);
    if ("polluted" in {}) throw new Error(`${file.name}, seed ${i}: it changed the prototype of all objects`);
  }
  await writeFile(file.path, whole);
  return { refused, slowestMs };
}
