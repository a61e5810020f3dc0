import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { sharedFolder, sharedMissing } from "../../../test/read-fixture.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { wordTokenizer } from "../../../test/word-tokenizer.ts";
import { saveTinyModel, tinyCaptions, tinyConfig, tinyModel } from "../../../test/tiny-model.ts";
import { readParameters } from "../checkpoints/load.ts";
import { clipPreprocess } from "../../inputs/image/preprocess-config.ts";
import { ClipTokenizer } from "../../inputs/text/tokenizer.ts";
import { JsonTokenizer } from "../../inputs/text/json-tokenizer.ts";
import { captionWords, unknownWords } from "./caption-words.ts";
import { readModel, readTokenizer } from "./model-folder.ts";
import { saveModel } from "./save-model.ts";

const root = await temporaryFolder();
let folders = 0;
const newFolder = () => join(root, `model-${folders++}`);

/** A model folder whose config.json says something else. */
async function withConfig(change: Record<string, unknown>): Promise<string> {
  const folder = await saveTinyModel(newFolder());
  const path = join(folder, "config.json");
  const config = JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
  await writeFile(path, JSON.stringify({ ...config, ...change }));
  return folder;
}

describe("a model folder", () => {
  it("gives back what was saved: architecture, weights, vocabulary, constants and words", async () => {
    const preprocess = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.5, 1], resample: "bilinear" } as const;
    const saved = tinyModel({ preprocess, words: captionWords(tinyCaptions) });
    const folder = newFolder();
    await saveModel(folder, saved);
    const model = await readModel(folder);
    expect(model.config).toEqual(tinyConfig);
    expect(model.preprocess).toEqual({ ...preprocess, imageSize: 32 });
    expect(await readParameters(model.parameters)).toEqual(saved.parameters);
    expect(((await readTokenizer(model)) as ClipTokenizer).merges).toEqual(saved.tokenizer.merges);
    expect([...model.words!]).toEqual([
      "a",
      "and",
      "apple",
      "blue",
      "green",
      "of",
      "picture",
      "red",
      "sea",
      "sun",
      "the",
      "tree",
    ]);
  });

  it("keeps half of the bytes of its matrices when they are saved in half precision", async () => {
    const folder = await saveTinyModel(newFolder(), { dtype: "F16" });
    const { parameters } = await readModel(folder);
    expect(parameters.get("text.tokenEmbedding")).toMatchObject({ parts: [{ dtype: "F16" }] });
    expect(parameters.get("logitScale")).toMatchObject({ parts: [{ dtype: "F32" }] });
  });

  it("holds no words and no merges of a model saved there before", async () => {
    const folder = await saveTinyModel(newFolder(), { words: ["red"] });
    const config = { ...tinyConfig, text: { ...tinyConfig.text, vocabSize: 49408 } };
    await saveTinyModel(folder, { config, tokenizer: await ClipTokenizer.published() });
    expect((await readdir(folder)).sort()).toEqual(["config.json", "model.safetensors"]);
    expect((await readTokenizer(await readModel(folder))).vocabSize).toBe(49408);
  });

  it("keeps a tokenizer.json, and what is done to texts before it is asked", async () => {
    const folder = await saveTinyModel(newFolder(), {
      tokenizer: new JsonTokenizer(wordTokenizer, { pad_token: "</s>" }, "canonicalize"),
    });
    expect((await readdir(folder)).sort()).toEqual([
      ...["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"],
    ]);
    const tokenizer = await readTokenizer(await readModel(folder));
    expect(tokenizer.encodeWithSpecialTokens("Two, cats!")).toEqual([2, 3, 1]);
    await saveTinyModel(folder);
    expect((await readdir(folder)).sort()).toEqual(["config.json", "merges.txt", "model.safetensors"]);
  });

  it("has the published constants and vocabulary where its config does not speak of them", async () => {
    const folder = await withConfig({ preprocess: undefined, tokenizer: undefined });
    const model = await readModel(folder);
    expect(model.preprocess).toEqual({ ...clipPreprocess, imageSize: 32 });
    expect(model.vocabulary).toEqual({ kind: "clip" });
  });

  it("names the nearest key when one is misspelt", async () => {
    await expect(readModel(await withConfig({ embeddDim: 16 }))).rejects.toThrow(
      /config\.json is invalid\n {2}embeddDim is unknown; did you mean "embedDim"\?/,
    );
    const preprocess = { mean: [0, 0, 0], std: [1, 1, 1], resamlpe: "bicubic" };
    await expect(readModel(await withConfig({ preprocess }))).rejects.toThrow(
      'preprocess.resamlpe is unknown; did you mean "resample"?',
    );
  });

  it("refuses a deviation of zero, by which pixels would be divided", async () => {
    const preprocess = { mean: [0, 0, 0], std: [1, 0, 1], resample: "bicubic" };
    await expect(readModel(await withConfig({ preprocess }))).rejects.toMatchObject({ code: "CLIP_CONFIG" });
  });

  it("refuses a vocabulary of another size than the table of tokens, on reading and on saving", async () => {
    const model = await readModel(await withConfig({ tokenizer: "clip" }));
    await expect(readTokenizer(model)).rejects.toThrow(
      /has \d+ token embeddings, but the published vocabulary has 49408/,
    );
    await expect(saveTinyModel(newFolder(), { tokenizer: await ClipTokenizer.published() })).rejects.toThrow(
      /vocabSize is \d+, the tokenizer's 49408/,
    );
  });

  it("lists every difference when the weights are of another architecture", async () => {
    const folder = await withConfig({ embedDim: 8, text: { ...tinyConfig.text, layers: 2 } });
    const error = await readModel(folder).then(
      () => undefined,
      (thrown: Error) => thrown.message,
    );
    expect(error).toContain("vision.projection: the model needs [32, 8], the file has [32, 16]");
    expect(error).toContain("missing from the file: text.blocks.1.ln1.weight [32]");
  });

  it("says what a model is when there is none", async () => {
    await expect(readModel(join(root, "nowhere"))).rejects.toThrow(
      /nowhere does not exist; name a folder with model\.safetensors and config\.json, or a weight file \(\.safetensors, \.pt\)/,
    );
  });
});

describe("a bare weight file", () => {
  it("is read with a config file beside or elsewhere", async () => {
    const folder = await saveTinyModel(newFolder());
    const model = await readModel(join(folder, "model.safetensors"), { config: join(folder, "config.json") });
    expect(model.config).toEqual(tinyConfig);
    expect((await readTokenizer(model)).vocabSize).toBe(tinyConfig.text.vocabSize);
  });

  it("is not guessed the activation of", async () => {
    const folder = await saveTinyModel(newFolder());
    await expect(readModel(join(folder, "model.safetensors"))).rejects.toThrow(/does not record its activation/);
  });

  it("does not take an activation that contradicts the config", async () => {
    const folder = await saveTinyModel(newFolder());
    await expect(readModel(folder, { activation: "gelu" })).rejects.toThrow(
      /two activations: .*has quickGelu.*is gelu/,
    );
  });

  it.skipIf(sharedMissing)(`tells its architecture by its shapes, in OpenAI's names${sharedMissing}`, async () => {
    const folder = newFolder();
    await mkdir(folder);
    await copyFile(`${sharedFolder}fixtures/vit-tiny/model.safetensors`, join(folder, "model.safetensors"));
    for (const path of [folder, join(folder, "model.safetensors")]) {
      const { config, parameters } = await readModel(path, { activation: "quickGelu" });
      expect(config.vision).toEqual({ kind: "vit", imageSize: 32, patchSize: 8, width: 128, layers: 2, heads: 2 });
      expect(parameters.has("vision.patchEmbedding")).toBe(true);
    }
  });
});

describe("words", () => {
  it("are those of the captions, without marks and case, and say which of a label are new", () => {
    const known = captionWords(["A red apple!", "it's 2 PEARS"]);
    expect(known).toEqual(["2", "a", "apple", "it", "pears", "red"]);
    expect(unknownWords("a Red pear, a pear & 2 apples", new Set(known))).toEqual(["pear", "apples"]);
  });
});
