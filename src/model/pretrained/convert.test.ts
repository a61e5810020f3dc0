import { copyFile, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import * as ort from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { sharedFolder, sharedMissing } from "../../../test/read-fixture.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { saveTinyModel, tinyConfig } from "../../../test/tiny-model.ts";
import { wordTokenizer } from "../../../test/word-tokenizer.ts";
import { readParameters } from "../checkpoints/load.ts";
import { clipLayout } from "../checkpoints/names/layouts.ts";
import { saveParameters } from "../checkpoints/save.ts";
import type { WriteProgress } from "../../core/atomic-write.ts";
import { float32 } from "../../core/tensor-data.ts";
import { relativeError } from "../../learning/parity/compare.ts";
import { type ClipConfig, type VitConfig } from "../towers/config.ts";
import { clipConfigs } from "../towers/configs.ts";
import { initializeParameters } from "../nn/parameters.ts";
import { clipParameters } from "../towers/parameters.ts";
import { JsonTokenizer } from "../../inputs/text/json-tokenizer.ts";
import { type Conversion, convertModel } from "./convert.ts";
import { forward } from "../embedding/forward.ts";
import { inspectModel } from "./inspect.ts";
import type { ReadModelOptions, Vocabulary } from "./model-files.ts";
import { readModel, readTokenizer } from "./model-folder.ts";
import { pictogramModel } from "../hub/pictograms.ts";
import { saveLora } from "./save-lora.ts";

const root = await temporaryFolder();
let folders = 0;
const newFolder = () => join(root, `model-${folders++}`);

/** A small SigLIP as Hugging Face would have it, without a vocabulary. */
async function siglipFolder(): Promise<string> {
  const folder = newFolder();
  await mkdir(folder);
  const tower = { hidden_size: 64, intermediate_size: 96, num_hidden_layers: 1, num_attention_heads: 2 };
  const json = {
    model_type: "siglip",
    vision_config: { ...tower, image_size: 16, patch_size: 8 },
    text_config: { ...tower, vocab_size: 30, max_position_embeddings: 8 },
  };
  await writeFile(join(folder, "config.json"), JSON.stringify(json));
  const config: ClipConfig = {
    ...{ embedDim: 64, activation: "geluTanh", score: "sigmoid", layerNormEpsilon: 1e-6 },
    vision: { kind: "vit", imageSize: 16, patchSize: 8, width: 64, layers: 1, heads: 2, mlpWidth: 96, pool: "probe" },
    text: {
      ...{ contextLength: 8, vocabSize: 30, width: 64, layers: 1, heads: 2, mlpWidth: 96 },
      ...{ causal: false, pool: "last", projectionBias: true },
    },
  };
  await saveParameters(join(folder, "model.safetensors"), initializeParameters(clipParameters(config), 1), {
    layout: clipLayout("hf", config),
  });
  return folder;
}

describe("convertModel", () => {
  it.each(["hf", "open_clip"] as const)("to %s gives a folder of the same model", async (to) => {
    const model = await readModel(await saveTinyModel(newFolder()));
    const folder = newFolder();
    const written = await convertModel(model, folder, { to });
    expect(written).toContain(join(folder, "merges.txt"));
    const back = await readModel(folder);
    expect(back.config).toEqual(model.config);
    expect(back.preprocess).toEqual({ ...model.preprocess, resizeMode: "shortest" });
    expect(await readParameters(back.parameters)).toEqual(await readParameters(model.parameters));
    const text = "a picture of a red apple";
    expect((await readTokenizer(back)).encodeWithSpecialTokens(text)).toEqual(
      (await readTokenizer(model)).encodeWithSpecialTokens(text),
    );
  });

  it("to hf writes a tokenizer.json that another reader understands alike", async () => {
    const model = await readModel(await saveTinyModel(newFolder()));
    const folder = newFolder();
    await convertModel(model, folder, { to: "hf" });
    const vocabulary: Vocabulary = {
      kind: "json",
      file: join(folder, "tokenizer.json"),
      configFile: join(folder, "tokenizer_config.json"),
      cleaning: "none",
    };
    const theirs = await readTokenizer({ ...model, vocabulary });
    const ours = await readTokenizer(model);
    for (const text of ["a picture of a red apple", "it's 12 o'clock", "naïve", ""])
      expect(theirs.encodeWithSpecialTokens(text)).toEqual(ours.encodeWithSpecialTokens(text));
  });

  it("to openai gives one file, halved if asked to", async () => {
    const model = await readModel(await saveTinyModel(newFolder()));
    const file = join(newFolder(), "openai.safetensors");
    await convertModel(model, file, { to: "openai", dtype: "F16" });
    const configFile = join(newFolder(), "config.json");
    await mkdir(dirname(configFile));
    await writeFile(configFile, JSON.stringify(tinyConfig));
    const { parameters } = await readModel(file, { config: configFile });
    expect(parameters.get("text.projection")).toMatchObject({ parts: [{ dtype: "F16" }] });
    await expect(convertModel(model, newFolder(), { to: "openai" })).rejects.toThrow(/name it \*\.safetensors/);
  });

  it.each(["hf", "open_clip"] as const)("takes SigLIP to %s, with or without a vocabulary", async (to) => {
    const model = await readModel(await siglipFolder());
    const folder = newFolder();
    const written = await convertModel(model, folder, { to });
    expect(written.some((file) => file.endsWith("tokenizer.json"))).toBe(false);
    const back = await readModel(folder);
    expect([back.config, back.preprocess]).toEqual([model.config, model.preprocess]);
    expect(await readParameters(back.parameters)).toEqual(await readParameters(model.parameters));
  });

  it.each([
    ["F32", "inside", "", 1e-6],
    ["F16", "inside", "_fp16", 2e-3],
    ["F32", "beside", "", 1e-6],
    ["F16", "beside", "_fp16", 2e-3],
  ] as const)("to onnx gives files that plain ONNX Runtime runs, %s %s", async (dtype, where, suffix, tolerance) => {
    const model = await readModel(await saveTinyModel(newFolder()));
    const folder = newFolder();
    const maxInlineBytes = where === "beside" ? 1000 : undefined;
    const written = await convertModel(model, folder, { to: "onnx", dtype, maxInlineBytes });
    const names = written.filter((file) => file.includes("onnx/")).map((file) => basename(file));
    const towers = ["model", "text_model", "vision_model"].map((name) => `${name}${suffix}.onnx`);
    expect(names).toEqual(towers.flatMap((name) => (where === "beside" ? [`${name}_data`, name] : [name])));
    const [both, texts, images] = await Promise.all(
      towers.map((name) => ort.InferenceSession.create(join(folder, "onnx", name))),
    );
    // Two texts of different lengths, padded as Hugging Face pads: with the end mark.
    const end = tinyConfig.text.vocabSize - 1;
    const rows = [
      [end - 1, 5, 6, 7, end, end],
      [end - 1, 9, end, end, end, end],
    ];
    const input_ids = new ort.Tensor("int64", BigInt64Array.from(rows.flat(), BigInt), [2, 6]);
    const pixels = Float32Array.from({ length: 3 * 3 * 32 * 32 }, (_, i) => Math.sin(i * i));
    const pixel_values = new ort.Tensor("float32", pixels, [3, 3, 32, 32]);
    const wanted = await forward(model, {
      pixelValues: { dtype: "float32", shape: [3, 3, 32, 32], data: pixels },
      inputIds: { dtype: "int32", shape: [2, 6], data: Int32Array.from(rows.flat()) },
    });
    const close = (met: ort.Tensor | undefined, name: string) => {
      expect(met!.dims).toEqual(wanted.get(name)!.shape);
      expect(relativeError(met!.data as Float32Array, wanted.get(name)!.data as Float32Array)).toBeLessThan(tolerance);
    };
    const met = await both!.run({ input_ids, pixel_values });
    close(met["logits_per_image"], "logitsPerImage");
    close(met["logits_per_text"], "logitsPerText");
    close((await texts!.run({ input_ids }))["text_embeds"], "textFeatures");
    close((await images!.run({ pixel_values }))["image_embeds"], "imageFeatures");
  });

  const resNet: ClipConfig = {
    ...tinyConfig,
    vision: { kind: "resnet", imageSize: 64, width: 8, layers: [1, 1, 1], heads: 4, norm: "batch" },
  };
  const drawings: ClipConfig = {
    ...tinyConfig,
    vision: { ...tinyConfig.vision, pool: "places", stem: "convolutions", descriptors: true } as VitConfig,
  };
  const words = {
    ...wordTokenizer,
    model: { ...wordTokenizer.model, vocab: { "<unk>": 0, two: 1, cats: 2, "</s>": 4 } },
  };
  words.added_tokens = words.added_tokens.map((token) => ({ ...token, id: 4 }));
  words.post_processor = {
    ...words.post_processor,
    special_tokens: { "</s>": { id: "</s>", ids: [4], tokens: ["</s>"] } },
  };
  /** A model whose texts end with a mark that is not the last of its table. */
  const withWords = (folder: string) =>
    saveTinyModel(folder, { tokenizer: new JsonTokenizer(words, { pad_token: "<unk>" }, "lower") });
  const withLora = async (folder: string) => {
    const own = await saveTinyModel(folder);
    const [out, inner] = [tinyConfig.text.width, 4 * tinyConfig.text.width];
    const change = (shape: readonly [number, number]) =>
      float32(
        Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => Math.sin(i)),
        shape,
      );
    const lora = new Map([
      ["text.blocks.0.mlp.proj.lora.down", change([2, inner])],
      ["text.blocks.0.mlp.proj.lora.up", change([out, 2])],
    ]);
    await saveLora(join(own, "lora"), { rank: 2, alpha: 2 }, lora);
    return own;
  };

  it.each<
    [string, () => Promise<string>, ReadModelOptions & { readonly dtype?: "F16"; readonly maxInlineBytes?: number }]
  >([
    ["a ViT", () => saveTinyModel(newFolder()), {}],
    ["a ViT, halved", () => saveTinyModel(newFolder()), { dtype: "F16" }],
    ["a ViT with its weights beside", () => saveTinyModel(newFolder()), { maxInlineBytes: 1000 }],
    ["a ResNet", () => saveTinyModel(newFolder(), { config: resNet }), {}],
    [
      "a ResNet with its weights beside",
      () => saveTinyModel(newFolder(), { config: resNet }),
      { maxInlineBytes: 1000 },
    ],
    ["a model of drawings", () => saveTinyModel(newFolder(), { config: drawings }), {}],
    ["the model in the box", () => Promise.resolve(pictogramModel), {}],
    ["a SigLIP", siglipFolder, {}],
    ["a model with a change of low rank", () => withLora(newFolder()), { lora: "lora" }],
    ["a model at another size", () => saveTinyModel(newFolder()), { imageSize: 64 }],
    ["a model with a tokenizer.json", () => withWords(newFolder()), {}],
  ])("to onnx and back: %s", async (_, make, { dtype, maxInlineBytes, lora, imageSize }) => {
    const made = await make();
    const model = await readModel(made, { imageSize, lora: lora && join(made, lora) });
    const folder = newFolder();
    const written = await convertModel(model, folder, { to: "onnx", maxInlineBytes, ...(dtype && { dtype }) });
    const both = written.find((file) => /\/model(_fp16)?\.onnx$/.test(file))!;
    for (const path of [folder, both]) {
      const report = await inspectModel(path);
      expect(report).toMatchObject({ container: "onnx", weights: both, layout: "our names", config: model.config });
      expect({ resizeMode: "shortest", ...report.preprocess }).toEqual({ resizeMode: "shortest", ...model.preprocess });
      expect(report.logitScale).toBe(model.logitScale);
    }
    const back = await readModel(folder);
    const [values, found] = [await readParameters(model.parameters), await readParameters(back.parameters)];
    expect([...found.keys()].sort()).toEqual([...values.keys()].sort());
    for (const [path, { data, shape }] of values) {
      expect(found.get(path)!.shape).toEqual(shape);
      const most = found.get(path)!.data.reduce((most, value, i) => Math.max(most, Math.abs(value - data[i]!)), 0);
      expect(most, path).toBeLessThanOrEqual(dtype ? 1e-3 : 0);
    }
    const size = model.config.vision.imageSize;
    const pixels = Float32Array.from({ length: 3 * size * size }, (_, i) => Math.sin(i * i));
    const { contextLength, vocabSize } = model.config.text;
    const end = model.vocabulary.kind === "json" && model.config.text.pool !== "last" ? 4 : vocabSize - 1;
    const ids = Int32Array.from({ length: contextLength }, (_, i) => (i < 4 ? (i % 3) + 1 : end));
    const session = await ort.InferenceSession.create(both);
    const met = await session.run({
      pixel_values: new ort.Tensor("float32", pixels, [1, 3, size, size]),
      input_ids: new ort.Tensor("int64", BigInt64Array.from(ids, BigInt), [1, contextLength]),
    });
    const wanted = await forward(model, {
      pixelValues: { dtype: "float32", shape: [1, 3, size, size], data: pixels },
      inputIds: { dtype: "int32", shape: [1, contextLength], data: ids },
    });
    for (const [theirs, ours] of [
      ["image_embeds", "imageEmbeds"],
      ["text_embeds", "textEmbeds"],
    ] as const)
      expect(relativeError(met[theirs]!.data as Float32Array, wanted.get(ours)!.data as Float32Array)).toBeLessThan(
        dtype ? 5e-3 : 1e-5,
      );
  });

  it("a model cannot be read from others' ONNX files, or from one with its weights elsewhere", async () => {
    const folder = newFolder();
    await convertModel(await readModel(await saveTinyModel(newFolder())), folder, { to: "onnx", maxInlineBytes: 1000 });
    const path = join(folder, "onnx", "model.onnx");
    const whole = await readFile(path);
    const changed = (from: string, to: string) => Buffer.from(whole.toString("latin1").replaceAll(from, to), "latin1");
    await writeFile(path, changed("model.onnx_data", "/etc/passwd/../"));
    await expect(readModel(folder)).rejects.toThrow(
      /it refers to weights in "\/etc\/passwd\/\.\.\/", outside its folder/,
    );
    await writeFile(path, changed("vision.", "others.").subarray(0, 200));
    await expect(readModel(folder)).rejects.toMatchObject({ code: "CLIP_CHECKPOINT" });
    await writeFile(path, changed("vision.", "onnx::1").toString("latin1").replaceAll("text.", "onnx:"), "latin1");
    await expect(readModel(path)).rejects.toMatchObject({ code: "CLIP_CHECKPOINT" });
  });

  it("to onnx keeps weights beside that are too large for ONNX, and tells transformers.js of all of them", async () => {
    const model = await readModel(await saveTinyModel(newFolder()));
    const folder = newFolder();
    const sizes = new Map<string, number>();
    const onProgress = ({ path, written, total }: WriteProgress) => {
      expect(written).toBeLessThanOrEqual(total);
      sizes.set(basename(path), written);
    };
    // In half precision the vision tower alone is below.
    const maxInlineBytes = 90_000;
    await convertModel(model, folder, { to: "onnx", maxInlineBytes, onProgress });
    const { "transformers.js_config": told } = JSON.parse(
      await readFile(join(folder, "config.json"), "utf8"),
    ) as object & {
      "transformers.js_config": object;
    };
    expect(told).toEqual({
      use_external_data_format: {
        ...{ "model.onnx": 1, "text_model.onnx": 1, "vision_model.onnx": 1 },
        ...{ "model_fp16.onnx": 1 },
      },
    });
    for (const [name, bytes] of sizes) expect((await stat(join(folder, "onnx", name))).size).toBe(bytes);
    const values = await readParameters(model.parameters);
    const numbers = [...values.values()].reduce((sum, { data }) => sum + data.length, 0);
    // Each tensor begins at a multiple of 64 bytes.
    expect(sizes.get("model.onnx_data")).toBeGreaterThanOrEqual(4 * numbers);
    expect(sizes.get("model.onnx_data")).toBeLessThan(4 * numbers + 64 * values.size);
    expect(sizes.get("model.onnx")).toBeLessThan(30_000);
  });

  it("halves nothing that half precision cannot hold", async () => {
    const model = await readModel(await saveTinyModel(newFolder()));
    const path = "vision.projection";
    const { shape } = model.parameters.get(path)!;
    const huge = float32(new Float32Array(shape[0]! * shape[1]!).fill(70_000), shape);
    const parameters = new Map([...model.parameters, [path, huge]]);
    for (const to of ["hf", "onnx"] as const)
      await expect(convertModel({ ...model, parameters }, newFolder(), { to, dtype: "F16" })).rejects.toThrow(
        /projection.* has 70000, beyond the half-precision limit of 65,504; keep float32/,
      );
  });

  it("does not write a model over itself", async () => {
    const folder = await saveTinyModel(newFolder());
    const model = await readModel(folder);
    const before = await readFile(join(folder, "config.json"), "utf8");
    for (const [to, out] of [
      ["hf", folder],
      ["openai", join(folder, "model.safetensors")],
    ] as const)
      await expect(convertModel(model, out, { to })).rejects.toThrow(/is where the model is read from; choose another/);
    expect(await readFile(join(folder, "config.json"), "utf8")).toBe(before);
  });

  it("stops when it is told to, and leaves no part of the weights", async () => {
    const model = await readModel(await saveTinyModel(newFolder()));
    const folder = newFolder();
    const stop = new AbortController();
    const converting = convertModel(model, folder, { to: "hf", signal: stop.signal, onProgress: () => stop.abort() });
    await expect(converting).rejects.toMatchObject({ name: "AbortError" });
    expect((await readdir(folder)).filter((name) => /safetensors|tmp/.test(name))).toEqual([]);
  });

  it("keeps how texts are cleaned on the way to open_clip", async () => {
    const folder = newFolder();
    await convertModel(await readModel(await siglipFolder()), folder, { to: "open_clip" });
    expect((await readModel(folder)).vocabulary).toMatchObject({ kind: "json", cleaning: "canonicalize" });
  });

  it("says what the target cannot say", async () => {
    const convert = async (config: ClipConfig, to: Conversion) => {
      const model = await readModel(await saveTinyModel(newFolder()));
      return convertModel({ ...model, config }, newFolder(), { to });
    };
    const odd = { ...tinyConfig, text: { ...tinyConfig.text, causal: false } };
    await expect(convert(odd, "hf")).rejects.toThrow(/config\.json cannot express text\.causal false/);
    await expect(convert(clipConfigs.RN50, "hf")).rejects.toThrow(/CLIPModel has no ResNets/);
  });
});

describe("inspectModel", () => {
  it("says whose files a model's are and what is in them", async () => {
    const folder = await saveTinyModel(newFolder(), { dtype: "F16" });
    const report = await inspectModel(folder);
    expect(report).toMatchObject({
      ...{ container: "safetensors", layout: "our names", architectures: [], config: tinyConfig },
      ...{ vocabulary: join(folder, "merges.txt"), logitBias: 0 },
    });
    expect(Object.keys(report.bytes).sort()).toEqual(["F16", "F32"]);
    expect(report.parameters).toBe(report.bytes["F16"]! / 2 + report.bytes["F32"]! / 4);
  });

  it("says that a vocabulary is missing", async () => {
    const folder = await siglipFolder();
    const siglip = await inspectModel(folder);
    expect([siglip.vocabulary, siglip.layout]).toEqual([null, "Hugging Face's SiglipModel"]);
    await expect(readTokenizer(await readModel(folder))).rejects.toThrow(
      /without its vocabulary: put .*tokenizer\.json at /,
    );
  });

  it("does not take SigLIP for the CLIP that a config says it is, and names every difference", async () => {
    const folder = await siglipFolder();
    const tower = { hidden_size: 64, intermediate_size: 96, num_hidden_layers: 1, num_attention_heads: 2 };
    const json = {
      model_type: "clip",
      projection_dim: 64,
      vision_config: { ...tower, image_size: 16, patch_size: 8 },
      text_config: { ...tower, vocab_size: 30, max_position_embeddings: 8 },
    };
    await writeFile(join(folder, "config.json"), JSON.stringify(json));
    const error = await readModel(folder).catch((thrown: Error) => thrown);
    const { message } = error as Error;
    expect(message).toMatch(/\(Hugging Face's SiglipModel\) does not fit the model/);
    for (const difference of [
      /missing from the file: vision\.classEmbedding/,
      /missing from the file: vision\.lnPre\.weight/,
      /unknown to the model: vision\.projection\.probe \(vision_model\.head\.probe\)/,
      /unknown to the model: logitBias/,
    ])
      expect(message).toMatch(difference);
  });

  it("knows SigLIP by its bare weights, in both layouts", async () => {
    const folder = await siglipFolder();
    const converted = newFolder();
    await convertModel(await readModel(folder), converted, { to: "open_clip" });
    for (const file of [join(folder, "model.safetensors"), join(converted, "open_clip_model.safetensors")]) {
      const { config, preprocess } = await inspectModel(file, { activation: "geluTanh" });
      const { config: wanted, preprocess: wantedPreprocess } = await readModel(folder);
      // Two heads of 32 do not show in shapes.
      const heads = { vision: { ...wanted.vision, heads: 1 }, text: { ...wanted.text, heads: 1 } };
      expect([config, preprocess]).toEqual([{ ...wanted, ...heads }, wantedPreprocess]);
    }
  });

  it.skipIf(sharedMissing)(`knows PyTorch's files and the folders of others${sharedMissing}`, async () => {
    const fixtures = `${sharedFolder}fixtures`;
    const found = async (path: string) => {
      const { container, layout, config } = await inspectModel(`${fixtures}/${path}`);
      return [container, layout, config.activation];
    };
    expect(await found("rn-tiny/openai-jit.pt")).toEqual(["torchScript", "OpenAI's names", "quickGelu"]);
    expect(await found("vit-tiny/hf")).toEqual(["safetensors", "Hugging Face's CLIPModel", "quickGelu"]);
    expect(await found("vit-tiny/open_clip")).toEqual(["safetensors", "OpenAI's names", "quickGelu"]);
    expect(await found("vit-tiny/open_clip-customtext")).toEqual([
      ...["safetensors", "open_clip's CustomTextCLIP", "quickGelu"],
    ]);
    expect(await found("siglip-tiny/open_clip")).toEqual(["safetensors", "open_clip's CustomTextCLIP", "geluTanh"]);
  });

  it.skipIf(sharedMissing)(`reads weights by PyTorch's usual name${sharedMissing}`, async () => {
    const folder = newFolder();
    await mkdir(folder);
    await copyFile(`${sharedFolder}fixtures/vit-tiny/state_dict.pt`, join(folder, "open_clip_pytorch_model.bin"));
    const config = await readFile(`${sharedFolder}fixtures/vit-tiny/open_clip/open_clip_config.json`);
    await writeFile(join(folder, "open_clip_config.json"), config);
    expect((await inspectModel(folder)).container).toBe("stateDict");
  });
});
