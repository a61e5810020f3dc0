import { createHash } from "node:crypto";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { sharedFolder, sharedMissing } from "../../../test/read-fixture.ts";
import { float32, type TensorData } from "../../core/tensor-data.ts";
import { type ClipConfig } from "../towers/config.ts";
import { clipConfigs } from "../towers/configs.ts";
import { initializeParameters, leaves, parameterSpecs } from "../nn/parameters.ts";
import { clipParameters } from "../towers/parameters.ts";
import { Tensor } from "../../engine/graph/tensor.ts";
import { buildModel } from "../../engine/onnx/build.ts";
import { OrtSession } from "../../engine/runtime/ort-session.ts";
import { inferConfig } from "./infer-config.ts";
import { loadParameters, readParameters, storedParameters } from "./load.ts";
import { huggingFaceConfig } from "./configs/hugging-face.ts";
import { clipLayout, type LayoutName } from "./names/layouts.ts";
import { saveParameters } from "./save.ts";
import { openSafetensors } from "./safetensors.ts";
import { rawBytes, writeDeferred, writeSafetensors } from "./write-safetensors.ts";
import { readFloats, readTensorBytes, type StoredTensor } from "./stored-tensor.ts";
import { openWeightFile } from "./weight-file.ts";

const text = { contextLength: 8, vocabSize: 20, width: 64, layers: 1, heads: 1 };
const vit: ClipConfig = {
  embedDim: 16,
  activation: "gelu",
  vision: { kind: "vit", imageSize: 12, patchSize: 4, width: 64, layers: 2, heads: 1 },
  text,
};
const resNet: ClipConfig = {
  embedDim: 16,
  activation: "gelu",
  vision: { kind: "resnet", imageSize: 16, width: 8, layers: [2, 1], heads: 1, norm: "batch" },
  text,
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "clip-ts-"));
});

const save = async (name: string, tensors: ReadonlyMap<string, TensorData>) => {
  const path = join(folder, name);
  await writeSafetensors(path, tensors);
  return path;
};
async function readAll(tensors: ReadonlyMap<string, StoredTensor>): Promise<Map<string, TensorData>> {
  const values = new Map<string, TensorData>();
  for (const [name, tensor] of tensors) values.set(name, await readFloats(tensor));
  return values;
}

/** Equal names, dtypes, shapes and bytes. */
function expectSameTensors(met: ReadonlyMap<string, TensorData>, wanted: ReadonlyMap<string, TensorData>): void {
  const describeAll = (tensors: ReadonlyMap<string, TensorData>) =>
    new Map([...tensors].map(([name, { dtype, shape }]) => [name, `${dtype} [${shape.join(", ")}]`]));
  expect(describeAll(met)).toEqual(describeAll(wanted));
  const bytes = ({ data }: TensorData) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  expect([...wanted].filter(([name, tensor]) => !bytes(met.get(name)!).equals(bytes(tensor)))).toEqual([]);
}

const problemsOf = async (path: string, config: ClipConfig) =>
  loadParameters(path, clipParameters(config)).then(
    () => [],
    (error: Error & { code?: string }) => {
      expect(error.code).toBe("CLIP_CHECKPOINT");
      return error.message.split("\n  ").slice(1);
    },
  );

const siglip: ClipConfig = {
  embedDim: 64,
  activation: "geluTanh",
  score: "sigmoid",
  layerNormEpsilon: 1e-6,
  vision: { kind: "vit", imageSize: 12, patchSize: 4, width: 64, layers: 2, heads: 1, mlpWidth: 96, pool: "probe" },
  text: { ...text, causal: false, pool: "last", projectionBias: true },
};

describe.each([
  ["ViT", vit, ["ours", "openai", "hf", "open_clip"]],
  ["ResNet", resNet, ["ours", "openai", "open_clip"]],
  ["SigLIP", siglip, ["ours", "hf", "open_clip"]],
] as const)("a saved %s", (name, config, layouts) => {
  it.each(layouts)("comes back bit for bit under %s names", async (names) => {
    const parameters = initializeParameters(clipParameters(config), 1);
    const path = join(folder, `${name}-${names}.safetensors`);
    await saveParameters(path, parameters, names === "ours" ? {} : { layout: clipLayout(names, config) });
    expectSameTensors(await readParameters(await loadParameters(path, clipParameters(config))), parameters);
  });

  it.each(["F32", "F16"] as const)("gives ONNX Runtime the same numbers as %s places in the file", async (dtype) => {
    const path = join(folder, `${name}-${dtype}.safetensors`);
    await saveParameters(path, initializeParameters(clipParameters(config), 2), { dtype });
    // And one as bfloat16, 2.5.
    const brain = join(folder, "brain");
    await writeFile(brain, Uint8Array.of(0x20, 0x40));
    const bf16 = { file: brain, byteOffset: 0, byteLength: 2, dtype: "BF16", shape: [] } as const;
    const places = new Map(await loadParameters(path, clipParameters(config)));
    places.set("logitScale", { shape: [], parts: [bf16], transposed: false });
    const record = storedParameters(clipParameters(config), places);
    const tensors = [...leaves(record, (node): node is Tensor => node instanceof Tensor)];
    const outputs = Object.fromEntries(tensors.map(([parameter, tensor]) => [`value of ${parameter}`, tensor]));
    const session = await OrtSession.create(buildModel(outputs), { threads: 1 });
    const met = await session.run({});
    await session.release();
    const wanted = await readParameters(places);
    expect(wanted.get("logitScale")).toEqual(float32([2.5], []));
    expectSameTensors(
      new Map([...wanted.keys()].map((parameter) => [parameter, met[`value of ${parameter}`]!])),
      wanted,
    );
    if (dtype === "F16") expect([...places.values()].some(({ parts }) => parts[0]!.dtype === "F16")).toBe(true);
  });
});

/** dtype, shape and bytes of all tensors of a file. */
async function contents(path: string): Promise<Map<string, string>> {
  const entries = [...(await openWeightFile(path)).tensors].map(async ([name, tensor]): Promise<[string, string]> => {
    const digest = createHash("sha256").update(new Uint8Array(await readTensorBytes(tensor)));
    return [name, `${tensor.dtype} [${tensor.shape.join(", ")}] ${digest.digest("hex")}`];
  });
  // Older files count the positions.
  return new Map((await Promise.all(entries)).filter(([name]) => !name.endsWith(".position_ids")));
}

describe("a file written in another's names", () => {
  const fixtures = `${sharedFolder}fixtures`;
  const write = async (from: string, config: ClipConfig, names: LayoutName) => {
    const path = join(folder, `converted-${names}.safetensors`);
    await saveParameters(path, await loadParameters(from, clipParameters(config)), {
      layout: clipLayout(names, config),
    });
    return path;
  };

  it.skipIf(sharedMissing)(`is the file that they wrote of the same weights${sharedMissing}`, async () => {
    const published = `${fixtures}/vit-tiny/model.safetensors`;
    const config = inferConfig((await openWeightFile(published)).tensors, "quickGelu", published);
    const hf = await write(published, config, "hf");
    expect(await contents(hf)).toEqual(await contents(`${fixtures}/vit-tiny/hf/model.safetensors`));
    expect(await contents(await write(hf, config, "openai"))).toEqual(await contents(published));
  });

  it.skipIf(sharedMissing)(`is so for SigLIP too, queries apart from keys and values${sharedMissing}`, async () => {
    const read = async (layout: string) =>
      JSON.parse(await readFile(`${fixtures}/siglip-tiny/${layout}`, "utf8")) as { model_type: unknown };
    const config = huggingFaceConfig(await read("hf/config.json"), "config.json");
    const [hf, openClip] = ["hf/model", "open_clip/open_clip_model"].map(
      (name) => `${fixtures}/siglip-tiny/${name}.safetensors`,
    ) as [string, string];
    expect(await contents(await write(hf, config, "open_clip"))).toEqual(await contents(openClip));
    expect(await contents(await write(openClip, config, "hf"))).toEqual(await contents(hf));
  });

  it("keeps half precisions as they are, and halves what is not if asked to", async () => {
    const half = join(folder, "half.safetensors");
    await saveParameters(half, initializeParameters(clipParameters(vit), 1), {
      layout: clipLayout("openai", vit),
      dtype: "F16",
    });
    const dtypes = async (path: string) => (await openWeightFile(path)).tensors.get("text_projection.weight")?.dtype;
    expect(await dtypes(await write(half, vit, "hf"))).toBe("F16");
    const back = await write(await write(half, vit, "hf"), vit, "openai");
    expect(await contents(back)).toEqual(await contents(half));
    const whole = join(folder, "whole.safetensors");
    await saveParameters(whole, initializeParameters(clipParameters(vit), 1), { layout: clipLayout("hf", vit) });
    const halved = join(folder, "halved.safetensors");
    await saveParameters(halved, await loadParameters(whole, clipParameters(vit)), {
      layout: clipLayout("openai", vit),
      dtype: "F16",
    });
    expect(await contents(halved)).toEqual(await contents(half));
  });

  it("is refused where the layout has no such model", async () => {
    const saved = async (config: ClipConfig, names: LayoutName) =>
      saveParameters(join(folder, "none.safetensors"), initializeParameters(clipParameters(config), 1), {
        layout: clipLayout(names, config),
      });
    await expect(saved(resNet, "hf")).rejects.toThrow(/CLIPModel has no ResNets; convert it to openai or open_clip/);
    await expect(saved(siglip, "openai")).rejects.toThrow(/does not support SigLIP; convert it to hf or open_clip/);
  });
});

describe("weights in several files", () => {
  const spread = async (change: (map: Record<string, string>) => void = () => undefined) => {
    const parameters = [...initializeParameters(clipParameters(vit), 3)];
    const map: Record<string, string> = {};
    for (const [i, part] of [parameters.slice(0, 20), parameters.slice(20)].entries()) {
      const file = `model-0000${i + 1}-of-00002.safetensors`;
      await save(file, new Map(part));
      for (const [name] of part) map[name] = file;
    }
    change(map);
    const path = join(folder, "model.safetensors.index.json");
    await writeFile(path, JSON.stringify({ metadata: { total_size: 0 }, weight_map: map }));
    return path;
  };

  it("are read by their index", async () => {
    expectSameTensors(
      await readParameters(await loadParameters(await spread(), clipParameters(vit))),
      initializeParameters(clipParameters(vit), 3),
    );
  });

  it("are all there, and beside it", async () => {
    const more = await spread((map) => (map["text.more"] = "model-00001-of-00002.safetensors"));
    await expect(openWeightFile(more)).rejects.toThrow(/lists missing tensors:\n {2}text\.more in model-00001/);
    const outside = await spread((map) => (map["text.more"] = "../secret.safetensors"));
    await expect(openWeightFile(outside)).rejects.toThrow(/text\.more.*must be a weight file beside the index/);
    const itself = await spread((map) => (map["text.more"] = "model.safetensors.index.json"));
    await expect(openWeightFile(itself)).rejects.toThrow(/must be a weight file beside the index/);
  });
});

describe("saveParameters in OpenAI's names", () => {
  it("writes the names of the published files, counters of batch norm among them", async () => {
    const path = join(folder, "published.safetensors");
    await saveParameters(path, initializeParameters(clipParameters(resNet), 1), {
      layout: clipLayout("openai", resNet),
    });
    const names = [...(await openSafetensors(path)).tensors.keys()];
    expect(names).toEqual(
      expect.arrayContaining(["visual.bn1.num_batches_tracked", "visual.layer1.1.bn3.running_var"]),
    );
    expect(names).toEqual(
      expect.arrayContaining(["visual.layer2.0.downsample.1.num_batches_tracked", "visual.conv3.weight"]),
    );
    expect(names).toEqual(expect.arrayContaining(["transformer.resblocks.0.attn.in_proj_weight", "logit_scale"]));
    expect(names.filter((name) => /vision|stages|Embedding/.test(name))).toEqual([]);
  });

  it.skipIf(sharedMissing).each(["vit-tiny", "rn-tiny"])(
    `gives the file of OpenAI's own code back, tensor by tensor, %s${sharedMissing}`,
    async (name) => {
      const published = `${sharedFolder}fixtures/${name}/model.safetensors`;
      const { tensors } = await openSafetensors(published);
      const config = inferConfig(tensors, "quickGelu", published);
      const path = join(folder, `${name}.safetensors`);
      await saveParameters(path, await readParameters(await loadParameters(published, clipParameters(config))), {
        layout: clipLayout("openai", config),
      });
      const saved = (await openSafetensors(path)).tensors;
      expect(new Set(saved.keys())).toEqual(new Set(tensors.keys()));
      // The counters start again at 0.
      const floats = (all: typeof saved) => readAll(new Map([...all].filter(([, { dtype }]) => dtype !== "I64")));
      expectSameTensors(await floats(saved), await floats(tensors));
    },
  );

  it("refuses a parameter that those have no place for", async () => {
    const group = {
      ...resNet,
      vision: { ...resNet.vision, width: 16, layers: [1, 1, 1, 1, 1], heads: 1 },
    } as ClipConfig;
    const path = join(folder, "group.safetensors");
    const saved = saveParameters(
      path,
      initializeParameters(clipParameters({ ...group, vision: { ...group.vision, imageSize: 64 } }), 1),
      { layout: clipLayout("openai", group) },
    );
    await expect(saved).rejects.toThrow(/cannot hold vision.stages.4/);
  });
});

describe("loadParameters", () => {
  it("lists all differences in one message: missing, unknown, of another shape, not floating-point", async () => {
    const parameters = new Map<string, TensorData>(initializeParameters(clipParameters(vit), 1));
    parameters.delete("text.lnFinal.bias");
    parameters.set("text.blocks.7.ln1.weight", float32([1], [1]));
    parameters.set("vision.projection", float32(new Float32Array(16 * 64), [16, 64]));
    parameters.set("vision.lnPre.bias", { dtype: "int32", shape: [64], data: new Int32Array(64) });
    expect(await problemsOf(await save("wrong", parameters), vit)).toEqual([
      "vision.lnPre.bias: the file has I32; save the model as float16 or float32",
      "vision.projection: the model needs [64, 16], the file has [16, 64]",
      "missing from the file: text.lnFinal.bias [64]",
      "unknown to the model: text.blocks.7.ln1.weight",
    ]);
  });

  it("names what is missing in the file's own dialect too", async () => {
    const path = join(folder, "dialect.safetensors");
    const parameters = initializeParameters(clipParameters(vit), 1);
    parameters.delete("vision.blocks.1.mlp.fc.bias");
    await saveParameters(path, parameters, { layout: clipLayout("openai", vit) });
    expect(await problemsOf(path, vit)).toEqual([
      "missing from the file: vision.blocks.1.mlp.fc.bias (visual.transformer.resblocks.1.mlp.c_fc.bias) [256]",
    ]);
  });

  it("refuses float64 with the reason", async () => {
    const path = join(folder, "double.safetensors");
    const tensors = Array.from(initializeParameters(clipParameters(vit), 1), ([name, { data, shape }]) => {
      const bytes = () => rawBytes(name === "logitScale" ? Float64Array.of(1) : data);
      return [name, { dtype: name === "logitScale" ? "F64" : "F32", shape, bytes }] as const;
    });
    await writeDeferred(path, new Map(tensors));
    expect(await problemsOf(path, vit)).toEqual([
      "logitScale: the file has float64, which would lose half its digits; convert it to float32",
    ]);
  });

  it("does not take one tower for the other", async () => {
    const problems = await problemsOf(await save("other", initializeParameters(clipParameters(resNet), 1)), vit);
    const ofVision = [
      ...parameterSpecs(clipParameters(vit)).keys(),
      ...parameterSpecs(clipParameters(resNet)).keys(),
    ].filter((path) => path.startsWith("vision."));
    expect(problems).toHaveLength(ofVision.length);
  });

  it("takes a logitScale with one axis, and numbers that OpenAI's archives hold beside the weights", async () => {
    const path = join(folder, "scale.safetensors");
    await saveParameters(path, initializeParameters(clipParameters(vit), 1), { layout: clipLayout("openai", vit) });
    const tensors = await readAll((await openSafetensors(path)).tensors);
    const widened = new Map<string, TensorData>([...tensors, ["logit_scale", float32([2.5], [1])]]);
    widened.set("context_length", { dtype: "int64", shape: [], data: BigInt64Array.of(8n) });
    const loaded = await readParameters(await loadParameters(await save("widened", widened), clipParameters(vit)));
    expect(loaded.get("logitScale")).toEqual(float32([2.5], []));
  });

  it("says what it met where the names are of no layout it knows", async () => {
    const path = await save("foreign", new Map([["encoder.layer_norm.bias", float32([1], [1])]]));
    await expect(loadParameters(path, clipParameters(vit))).rejects.toThrow(
      /unknown tensor names \(encoder\.layer_norm\.bias\); supported are .*/,
    );
  });
});

/** What a file of this model would hold, without the bytes. */
const shapesOf = (config: ClipConfig): Map<string, StoredTensor> =>
  new Map(
    [...parameterSpecs(clipParameters(config))].map(([path, { shape }]) => [
      path,
      { dtype: "F32", shape, file: "", byteOffset: 0, byteLength: 0 },
    ]),
  );

// A convolutional stem does not show how large the patches are: that model comes with its config.
const published = Object.fromEntries(Object.entries<ClipConfig>(clipConfigs).filter(([name]) => name !== "pictogram"));

describe("inferConfig", () => {
  it.each(Object.entries({ ...published, vit, resNet }))("reads %s off its shapes", (_name, config) => {
    expect(inferConfig(shapesOf(config), config.activation, "model.safetensors")).toEqual(config);
  });

  it("tells group norm by the absence of running statistics", () => {
    const group = { ...resNet, vision: { ...resNet.vision, width: 16, norm: "group", heads: 2 } } as ClipConfig;
    expect(inferConfig(shapesOf(group), "gelu", "model.safetensors")).toEqual(group);
  });

  it("does not guess the activation", () => {
    expect(() => inferConfig(shapesOf(vit), undefined, "model.safetensors")).toThrow(
      /model.safetensors does not record its activation/,
    );
  });

  it("says which tensor it misses, and where heads cannot be told", () => {
    const shapes = shapesOf(vit);
    shapes.delete("vision.positionalEmbedding");
    expect(() => inferConfig(shapes, "gelu", "model.safetensors")).toThrow(/vision.positionalEmbedding is missing/);
    const narrow = shapesOf({ ...vit, text: { ...text, width: 24 } });
    expect(() => inferConfig(narrow, "gelu", "model.safetensors")).toThrow(/a width of 24 is not a multiple of 64/);
  });
});
