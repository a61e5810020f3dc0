import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openWeightFile } from "../src/model/checkpoints/weight-file.ts";
import { saveParameters } from "../src/model/checkpoints/save.ts";
import { readTensorBytes } from "../src/model/checkpoints/stored-tensor.ts";
import { type Conversion, convertModel } from "../src/model/pretrained/convert.ts";
import { readModel, type StoredModel } from "../src/model/pretrained/model-folder.ts";
import { type ClipConfig } from "../src/model/towers/config.ts";
import { initializeParameters } from "../src/model/nn/parameters.ts";
import { clipParameters } from "../src/model/towers/parameters.ts";
import { loadClip } from "../src/model/zero-shot/clip.ts";
import { randomImage } from "./images.ts";
import { sharedFolder, sharedMissing } from "./read-fixture.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { saveTinyModel, tinyCaptions, tinyConfig } from "./tiny-model.ts";

const root = await temporaryFolder();
let folders = 0;

type Target = Exclude<Conversion, "onnx">;
const weightsName = { openai: "model.safetensors", hf: "model.safetensors", open_clip: "open_clip_model.safetensors" };

const tower = { width: 64, layers: 2, heads: 1, mlpWidth: 96 };
const models: Readonly<Record<string, { readonly config: ClipConfig; readonly targets: readonly Target[] }>> = {
  ViT: { config: tinyConfig, targets: ["openai", "hf", "open_clip"] },
  ResNet: {
    config: {
      ...tinyConfig,
      vision: { kind: "resnet", imageSize: 64, width: 8, layers: [1, 2, 1, 1], heads: 4, norm: "batch" },
    },
    targets: ["openai", "open_clip"],
  },
  SigLIP: {
    config: {
      ...{ embedDim: 64, activation: "geluTanh", score: "sigmoid", layerNormEpsilon: 1e-6 },
      vision: { kind: "vit", imageSize: 16, patchSize: 8, ...tower, pool: "probe" },
      text: { contextLength: 8, vocabSize: 30, ...tower, causal: false, pool: "last", projectionBias: true },
    },
    targets: ["hf", "open_clip"],
  },
};

/** Every way to one target and back to another, and there again. */
const trips = Object.entries(models).flatMap(([name, { config, targets }]) =>
  targets.flatMap((from) =>
    targets
      .filter((by) => by !== from)
      .flatMap((by) => (["F32", "F16"] as const).map((dtype) => ({ name, config, from, by, dtype }))),
  ),
);

async function writeConfig(config: ClipConfig): Promise<string> {
  const file = join(root, `config-${folders++}.json`);
  await writeFile(file, JSON.stringify(config));
  return file;
}

/** Converts a model and reads what was written. */
async function pass(model: StoredModel, to: Target, dtype?: "F16"): Promise<{ weights: string; model: StoredModel }> {
  const folder = join(root, `converted-${folders++}`);
  const out = to === "openai" ? join(folder, weightsName[to]) : folder;
  await convertModel(model, out, { to, ...(dtype && { dtype }) });
  const config = to === "openai" ? { config: await writeConfig(model.config) } : {};
  return { weights: join(folder, weightsName[to]), model: await readModel(out, config) };
}

describe("from one layout to another and back", () => {
  it.each(trips)("$name, $from by way of $by, $dtype: the same bytes", async ({ config, from, by, dtype }) => {
    const folder = join(root, `own-${folders++}`);
    await mkdir(folder);
    await saveParameters(join(folder, "model.safetensors"), initializeParameters(clipParameters(config), 1));
    const own = await readModel(join(folder, "model.safetensors"), { config: await writeConfig(config) });
    const there = await pass(own, from, dtype === "F16" ? dtype : undefined);
    const back = await pass((await pass(there.model, by)).model, from);
    const [before, after] = await Promise.all([readFile(there.weights), readFile(back.weights)]);
    expect(before.equals(after)).toBe(true);
    const { tensors } = await openWeightFile(there.weights);
    expect(new Set(Array.from(tensors.values(), (tensor) => tensor.dtype)).has(dtype)).toBe(true);
    expect(back.model.config).toEqual(own.config);
  });
});

/** Each tensor by its name: dtype, shape, bytes. Buffers that hold no weights are left out. */
async function contentOf(path: string): Promise<Map<string, string>> {
  const { tensors } = await openWeightFile(path);
  const content = new Map<string, string>();
  for (const [name, tensor] of tensors) {
    if (/position_ids$|num_batches_tracked$|^(input_resolution|context_length|vocab_size)$/.test(name)) continue;
    const bytes = Buffer.from(await readTensorBytes(tensor)).toString("base64");
    content.set(name, `${tensor.dtype} [${tensor.shape.join()}] ${bytes}`);
  }
  return content;
}

describe("recorded models", () => {
  it.skipIf(sharedMissing).each<[string, string, string | undefined, Target, Target]>([
    ["vit-tiny", "model.safetensors", "open_clip", "openai", "hf"],
    ["vit-tiny", "model.safetensors", "open_clip", "openai", "open_clip"],
    ["vit-tiny", "openai-jit.pt", "open_clip", "openai", "hf"],
    ["vit-tiny", "hf", undefined, "hf", "openai"],
    ["vit-tiny", "hf", undefined, "hf", "open_clip"],
    ["vit-tiny", "open_clip", undefined, "open_clip", "hf"],
    ["vit-tiny", "open_clip", undefined, "open_clip", "openai"],
    ["rn-tiny", "model.safetensors", "open_clip", "openai", "open_clip"],
    ["rn-tiny", "openai-jit.pt", "open_clip", "openai", "open_clip"],
    ["rn-tiny", "open_clip", undefined, "open_clip", "openai"],
    ["siglip-tiny", "hf", undefined, "hf", "open_clip"],
    ["siglip-tiny", "open_clip", undefined, "open_clip", "hf"],
  ])(
    `%s/%s come back to the tensors they had, name by name${sharedMissing}`,
    async (...[name, path, config, to, by]) => {
      const fixtures = `${sharedFolder}fixtures/${name}`;
      const source = join(fixtures, path);
      const given = config ? { config: join(fixtures, config, "open_clip_config.json") } : {};
      const back = await pass((await pass(await readModel(source, given), by)).model, to);
      const weights = /\./.test(path) ? source : join(source, weightsName[to]);
      const [met, wanted] = [await contentOf(back.weights), await contentOf(weights)];
      expect([...met.keys()].sort()).toEqual([...wanted.keys()].sort());
      for (const [tensor, content] of wanted) expect([tensor, met.get(tensor) === content]).toEqual([tensor, true]);
    },
  );
});

describe("a model as ONNX", () => {
  it.each(Object.entries(models))("gives the same shares to labels: %s", async (name, { config }) => {
    // With a vocabulary, so that texts can be read.
    const text = { ...config.text, contextLength: tinyConfig.text.contextLength, vocabSize: tinyConfig.text.vocabSize };
    const own = await saveTinyModel(join(root, `own-${folders++}`), { config: { ...config, text } });
    const image = randomImage(1, 40, 30);
    const sharesOf = async (folder: string) => {
      await using clip = await loadClip(folder);
      const ranked = await clip.classify(image, tinyCaptions, { templates: ["{}"] });
      return new Map(ranked.map(({ label, probability }) => [label, probability]));
    };
    const wanted = await sharesOf(own);
    // The same numbers of the same program; of half precision as near as its 11 bits let them.
    for (const [dtype, tolerance] of [
      ["F32", 0],
      ["F16", 5e-3],
    ] as const) {
      const folder = join(root, `converted-${folders++}`);
      await convertModel(await readModel(own), folder, { to: "onnx", dtype });
      const met = await sharesOf(folder);
      for (const [label, share] of wanted)
        expect(Math.abs(met.get(label)! - share), `${dtype}, ${label}`).toBeLessThanOrEqual(tolerance * share);
      // Others pad as this library does where padding counts.
      const vocab = JSON.parse(await readFile(join(folder, "vocab.json"), "utf8")) as Record<string, number>;
      const said = JSON.parse(await readFile(join(folder, "tokenizer_config.json"), "utf8")) as { pad_token: string };
      expect(vocab[said.pad_token]).toBe(name === "SigLIP" ? 0 : text.vocabSize - 1);
    }
  });
});
